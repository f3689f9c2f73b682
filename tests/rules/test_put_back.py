"""Which dead letters go back, where to, and that they are what was sent, bit by bit."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pamqp import commands, header

from bridge.contract.inbound import PAYLOAD_TYPE
from bridge.envelope import Properties
from bridge.publishing import NotTaken
from streams.cli.dead_letter import DeadLetter, Death, Verdict, dead_letter
from streams.cli.put_back import OFTEN, REDRIVES_MAX, Choice, Route, code_of, put_back, route, speaks_against
from streams.cli.relay import PIECE_BYTES, Relay

TIME = datetime(2026, 1, 31, 12, tzinfo=UTC)
BROKERS = {"x-death": [{"queue": "q", "count": 3}], "x-first-death-queue": "q", "x-delivery-count": 9}


def on_the_wire(**properties: Any) -> bytes:
    return header.ContentHeader(0, 0, commands.Basic.Properties(**properties)).marshal()[12:]


def off_the_wire(properties: bytes) -> commands.Basic.Properties:
    content = header.ContentHeader()
    content.unmarshal(struct.pack(">HHQ", 60, 0, 0) + properties)
    return content.properties


def letter(problem: str | None = None, **changes: Any) -> DeadLetter:
    properties = Properties(
        PAYLOAD_TYPE, "T1", headers={"brh_series_type": "a", "brh_ordinal": 1, "brh_total_count": 2}
    )
    found = replace(
        dead_letter(properties, 4, 100), problem=Verdict(problem, "") if problem else None, reason="rejected"
    )
    return replace(found, **changes)


texts = st.text(st.characters(codec="utf-8"), max_size=20)
plain = st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=30) | st.just(TIME) | st.none()
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
tables = st.dictionaries(texts.filter(lambda name: not name.startswith("x-") and name != "brh_redriven"), values)
properties = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("content_type", "content_encoding", "correlation_id", "reply_to", "message_id", "message_type", "app_id"),
            texts,
        ),
        "expiration": st.just("60000"),
        "priority": st.integers(0, 255),
        "delivery_mode": st.sampled_from([1, 2]),
        "timestamp": st.just(TIME),
        "user_id": texts,
        "headers": tables,
    },
)


@given(properties, st.integers(0, 1 << 62))
def test_everything_stays_but_what_is_the_broker_s(sent: dict[str, Any], redriven: int) -> None:
    found = off_the_wire(put_back(on_the_wire(**sent), redriven))
    expected = off_the_wire(on_the_wire(**sent))
    expected.headers = dict(sorted((expected.headers or {}).items())) | {"brh_redriven": redriven + 1}
    expected.delivery_mode, expected.user_id = 2, None
    assert dict(found) == dict(expected)


def test_headers_keep_the_types_that_they_were_sent_with() -> None:
    entries = (
        b"\x01nb\x05" + b"\x01dd" + struct.pack(">d", 0.1) + b"\x01sS\x00\x00\x00\x02\xff\xfe" + b"\x03l64l" + bytes(8)
    )
    whole = struct.pack(">H", 1 << 13) + struct.pack(">I", len(entries)) + entries
    assert entries in put_back(whole, 0)


def test_what_the_broker_wrote_is_not_sent_to_it_and_the_count_grows() -> None:
    sent = on_the_wire(headers={**BROKERS, "x-mine": "kept", "brh_redriven": 1, "a": 1})
    found = off_the_wire(put_back(sent, 1)).headers
    assert found == {"x-mine": "kept", "a": 1, "brh_redriven": 2}


def test_a_message_without_properties_can_be_put_back() -> None:
    assert off_the_wire(put_back(b"\x00\x00", 0)).headers == {"brh_redriven": 1}


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda end: on_the_wire(headers={"a": "b"})[:-1] + end))
def test_what_are_no_properties_is_an_error_and_nothing_else(found: bytes) -> None:
    try:
        again = put_back(found, 0)
    except ValueError:
        return
    assert put_back(again, 0) == again, "what was read once can be read again"


@pytest.mark.parametrize(
    ("died", "expected"),
    [
        (Death("brh.payloads", "payload.a", exchange="brh.in"), Route("brh.in", "payload.a")),
        (Death("brh.payloads", "payload.a"), Route("brh.in", "payload.a")),
        (Death("brh.payloads", "brh.payloads", exchange=""), Route("", "brh.payloads")),
        (Death("other", "other", exchange=""), Route("brh.in", "other")),
        (Death("brh.payloads"), None),
        (Death(), None),
    ],
)
def test_a_message_goes_back_where_it_came_from(died: Death, expected: Route | None) -> None:
    found = route(died)
    assert found == expected if expected else isinstance(found, Verdict)


def test_all_kinds_of_choice_that_are_given_must_fit() -> None:
    one, other = letter("bad-ordinal", id="1"), letter(None, id="2", transaction_id="T2")
    everything = Choice()
    assert everything.takes(one)
    assert everything.takes(other)
    assert not everything.satisfied
    assert not Choice(transactions=frozenset({"T1"}), codes=frozenset({"rejected"})).takes(one)
    assert Choice(transactions=frozenset({"T1"}), codes=frozenset({"bad-ordinal"})).takes(one)
    assert Choice(codes=frozenset({"rejected"})).takes(other)
    assert [code_of(one), code_of(other)] == ["bad-ordinal", "rejected"]


def test_of_several_messages_with_one_id_one_is_taken() -> None:
    choice = Choice(frozenset({"1", "2"}))
    assert [choice.takes(letter(id=each)) for each in ("1", "1", "3")] == [True, False, False]
    assert (choice.unseen, choice.satisfied) == (["2"], False)
    assert choice.takes(letter(id="2"))
    assert choice.satisfied


def test_what_comes_back_each_time_does_not_go_round_for_ever() -> None:
    assert speaks_against(letter(redriven=REDRIVES_MAX - 1)) is None
    often = speaks_against(letter(redriven=REDRIVES_MAX))
    assert often is not None
    assert often.code == OFTEN
    assert speaks_against(letter("bad-ordinal", redriven=REDRIVES_MAX)) == Verdict("bad-ordinal", "")


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (-1, 0), (True, 0), ("2", 0), (None, 0)])
def test_only_a_count_counts(count: object, expected: int) -> None:
    assert dead_letter(Properties(headers={"brh_redriven": count}), 1, 1).redriven == expected


# Bodies


class Out:
    """The other connection."""

    def __init__(self) -> None:
        self.full = False
        self.written: list[bytes] = []

    def write(self, piece: memoryview) -> None:
        self.written.append(bytes(piece))


def fill(relay: Relay, body: bytes) -> None:
    while body:
        room = relay.room()
        assert room is not None
        count = min(len(room), len(body), 100_000)
        room[:count] = body[:count]
        relay.filled(count)
        body = body[count:]


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
async def test_the_last_piece_is_sent_only_when_somebody_says_so(size: int) -> None:
    out, begun = Out(), []
    body = bytes(range(256)) * (size // 256 + 1)
    relay = Relay(size, out, lambda: begun.append(len(out.written)), digest=False)  # type: ignore[arg-type]
    if not size:
        relay.filled(0)
    fill(relay, body[:size])
    assert relay.arrived.done()
    assert sum(map(len, out.written)) == max(0, (size - 1) // PIECE_BYTES * PIECE_BYTES)
    assert relay.begun == (size > PIECE_BYTES)
    assert relay.body == (body[:size] if size <= PIECE_BYTES else None)
    relay.finish()
    assert b"".join(out.written) == body[:size]
    assert begun == [0]


async def test_a_body_waits_for_room_on_the_other_side() -> None:
    out = Out()
    relay = Relay(10, out, lambda: None, digest=True)  # type: ignore[arg-type]
    out.full = True
    assert relay.room() is None
    out.full = False
    fill(relay, b"x" * 10)
    assert relay.sha256 == hashlib.sha256(b"x" * 10).hexdigest()


async def test_a_body_that_cannot_be_sent_is_read_to_its_end() -> None:
    def begin() -> None:
        raise NotTaken("its properties are too long")

    out = Out()
    relay = Relay(3 * PIECE_BYTES, out, begin, digest=False)  # type: ignore[arg-type]
    fill(relay, bytes(3 * PIECE_BYTES))
    assert relay.arrived.done()
    with pytest.raises(NotTaken):
        relay.finish()
    assert out.written == []


def test_the_count_is_an_integer_of_64_bits() -> None:
    assert b"\x0cbrh_redrivenl" + struct.pack(">q", 5) in put_back(b"\x00\x00", 4)
    assert b"\x0cbrh_redrivenl" + struct.pack(">q", (1 << 63) - 1) in put_back(b"\x00\x00", (1 << 63) - 1)
