"""Records of a release that this one does not know: put aside or refused by a code, never dropped, never half read."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from playbook import START, T1, delivered, header, not_taken, payload, told
from test_sweep import DAY_S, Container
from tracker import MINE, PARTITIONS, Tracker, sending

from bridge.contract import events
from bridge.contract.events import AnyEvent, MessageRefused, PayloadsStaged, Tick, Watermark
from bridge.contract.inbound import Header, HeaderMessage, RejectionCode, SeriesSpec, Trace
from bridge.contract.outbound import Outcome, Told
from bridge.envelope import Properties
from bridge.header_record import find_header, keep_header
from bridge.headers import HeaderIntake
from bridge.layout import HEADER_BLOB, ORPHANS_BLOB, OUTCOME_BLOB, TOLD_BLOB, record_name
from bridge.memory_blobs import MemoryBlobs
from bridge.rejection import Refused, Rejection, rejection
from bridge.unreadable import DETAIL_CHARS_MAX, ReadCode, Unreadable
from streams.courier import RECORD_UNREADABLE
from streams.outcome import read_audience, read_outcome, read_told
from streams.topics import Topics
from tables import effects, receipts
from tables.effects import KeepAlive
from tests.support.deliveries import courier
from tests.support.posted import Posted
from tests.support.result import Result

EVENTS: list[AnyEvent] = [
    header(a=1),
    PayloadsStaged(T1, (payload("a", 1, of=1),), START),
    delivered("Completed"),
    told("e-1"),
    not_taken("bad-ordinal"),
    Watermark("b1", START),
    Tick(START),
]


def changed(record: bytes, **members: Any) -> bytes:
    return json.dumps(json.loads(record) | members).encode()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"v": 2}, "newer-version"),
        ({"v": 9, "type": "PayloadsMoved"}, "newer-version"),
        ({"type": "Moved"}, "unknown-type"),
    ],
    ids=["version", "type and version", "type"],
)
def test_an_event_of_a_newer_release_is_parked_by_a_code_and_changes_nothing(
    tracker: Tracker, event: AnyEvent, members: dict[str, Any], code: str
) -> None:
    sending(tracker)
    before = tracker.index()[T1], dict(tracker.rows), dict(tracker.shown), tracker.asked()
    record = tracker.record(changed(events.encode(event), **members))
    tracker.assembler.take(record)
    ((offset, reason),) = tracker.outbox.parked
    assert (offset, reason.endswith(f"({code})")) == (record.offset, True)
    assert before == (tracker.index()[T1], tracker.rows, tracker.shown, tracker.asked())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_is_added_to_a_version_is_passed_over(event: AnyEvent) -> None:
    assert events.decode(changed(events.encode(event), added={"later": [1]})) == event


def test_what_is_said_of_a_record_is_short_whatever_the_record_says() -> None:
    for record in (
        changed(events.encode(Tick(START)), type="x" * 9_999),
        b'{"type":"Tick","at":"%s"}' % (b"x" * 9_999),
    ):
        with pytest.raises(Unreadable) as raised:
            events.decode(record)
        assert len(str(raised.value)) < DETAIL_CHARS_MAX + 50


def test_an_effect_of_a_newer_release_is_refused_by_a_code() -> None:
    effect = effects.encode(KeepAlive("e-1", T1, 3))
    for members, code in (({"v": 2}, ReadCode.NEWER_VERSION), ({"type": "Copy"}, ReadCode.UNKNOWN_TYPE)):
        with pytest.raises(Unreadable) as raised:
            effects.decode(changed(effect, **members))
        assert raised.value.code is code


# Rows


def newer(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"v": 2}


def unknown(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"kind": "rumour"}


def neighbour() -> str:
    topics = Topics("brh", PARTITIONS)
    return next(name for number in range(2, 999) if topics.partition_of(name := f"T{number}") == MINE)


@pytest.mark.parametrize("change", [newer, unknown])
def test_a_transaction_with_a_row_of_a_newer_release_is_left_alone_and_nobody_else_is(
    tracker: Tracker, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    sending(tracker)
    other = neighbour()
    tracker.assembler.take(tracker.record(events.encode(msgspec.structs.replace(header(a=1), transaction=other))))
    rows = dict(tracker.rows)
    key = next(key for key in rows if key.startswith(f"{T1}/a/"))
    dict.__setitem__(tracker.rows, key, change(rows[key]))
    kept, shown = dict(tracker.rows), dict(tracker.shown)
    tracker.start()
    tracker.tick()
    assert set(tracker.index()) == {other}
    late = [tracker.tell(payload("a", 1, of=1)), tracker.tell(delivered("Completed")), tracker.tell(header(a=2))]
    assert [offset for offset, _ in tracker.outbox.parked] == [record.offset for record in late]
    assert all("row of transaction T1 cannot be read" in reason for _, reason in tracker.outbox.parked)
    assert {reason.rpartition("(")[2] for _, reason in tracker.outbox.parked} == {
        "newer-version)" if change is newer else "unknown-type)"
    }
    tracker.passes(days=30)
    assert {key: tracker.rows.get(key) for key in kept} == kept, "no row of it is dropped"
    assert tracker.shown[T1] == shown[T1]
    assert [each for each in tracker.outbox.sent if each.transaction == T1] == []
    # The release that knows it goes on where it was.
    dict.__setitem__(tracker.rows, key, rows[key])
    tracker.start()
    tracker.tick()
    assert T1 in {each.transaction for each in tracker.outbox.sent}


def test_the_outcome_s_row_of_a_newer_release_is_no_outcome_and_stays(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Completed"))
    key = receipts.outcome_key(T1)
    dict.__setitem__(tracker.rows, key, newer(tracker.rows[key]))
    tracker.start()
    tracker.tick()
    assert tracker.assembler.known(T1) is None
    tracker.tell(payload("a", 1, of=1))
    assert (tracker.index(), len(tracker.outbox.parked), key in tracker.rows) == ({}, 1, True)


@pytest.mark.parametrize(
    "shown", [{}, {"duplicates": "many"}, {"duplicates": 1, "recoveries": 0, "problems": [{"stage": 7}]}]
)
def test_a_readable_row_that_is_none_is_written_anew(tracker: Tracker, shown: dict[str, Any]) -> None:
    sending(tracker)
    tracker.shown[T1] = shown
    tracker.start()
    tracker.tick()
    assert (tracker.shown[T1]["state"], tracker.shown[T1]["recoveries"]) == ("SendingCompletion", 1)


# Records in storage


async def outcome_in_storage(**options: Any) -> tuple[MemoryBlobs, Result]:
    blobs, result = MemoryBlobs(), Result({"a": [b"a1"], "b": [b"b1"]}, **options)
    await result.stage_all(blobs)
    posted = Posted()
    await courier(blobs, posted).carry_out(result.completed())
    return blobs, result


async def rewrite(blobs: MemoryBlobs, name: str, change: Callable[[bytes], bytes]) -> bytes:
    found = await blobs.read(name)
    assert found is not None
    body = change(found.body)
    await blobs.delete(name, found.etag)
    await blobs.write_once(name, body, content_type="application/json", metadata=dict(found.metadata))
    return body


CHANGES: list[Callable[[bytes], bytes]] = [lambda body: changed(body, v=2), lambda _: b"\xff", lambda _: b"[" * 99_999]


@pytest.mark.parametrize("change", CHANGES, ids=["newer", "no text", "nested"])
@pytest.mark.parametrize("blob", [OUTCOME_BLOB, TOLD_BLOB])
async def test_a_record_that_cannot_be_read_is_refused_by_a_code_and_stays(
    blob: str, change: Callable[[bytes], bytes]
) -> None:
    blobs, result = await outcome_in_storage()
    name = record_name(T1, blob)
    body = await rewrite(blobs, name, change)
    posted = Posted()
    for effect in (result.completed(), result.failed()):
        answer: Any = await courier(blobs, posted).carry_out(effect)
        assert (answer.problem.code, answer.problem.retryable) == (RECORD_UNREADABLE, True)
    found = await blobs.read(name)
    assert found is not None
    assert (found.body, posted.places) == (body, [])


async def test_a_record_of_orphans_that_cannot_be_read_holds_its_outcome_back() -> None:
    blobs, result = MemoryBlobs(), Result({"a": [b"a1"], "b": [b"b1"]}, announced=["a"])
    await result.stage_all(blobs)
    posted = Posted()
    await courier(blobs, posted).carry_out(result.completed(header_last=True))
    await rewrite(blobs, record_name(T1, ORPHANS_BLOB), CHANGES[0])
    told_name = record_name(T1, TOLD_BLOB)
    marker = await blobs.read(told_name)
    assert marker is not None
    await blobs.delete(told_name, marker.etag)
    again = Posted()
    answer: Any = await courier(blobs, again).carry_out(result.completed())
    assert (answer.problem.code, again.places) == (RECORD_UNREADABLE, [])


async def test_the_sweep_passes_over_a_record_that_it_cannot_read() -> None:
    container = Container()
    for name in ("T1", "T2"):
        await container.untold(name)
    await rewrite(container.blobs, record_name("T1", OUTCOME_BLOB), CHANGES[0])
    counts = await container.sweep(DAY_S)
    assert (counts.failed, counts.told, container.bugs) == (1, 1, [])


@pytest.mark.parametrize("time", ["yesterday", "2026-01-31", "2026-01-31T12:00:00", ""])
def test_times_without_a_zone_are_none(time: str) -> None:
    with pytest.raises(Unreadable):
        read_told(msgspec.json.encode(Told("n-1", time)))
    record = {"transactionId": "T1", "transactionType": "x", "outcome": "Failed", "partial": False, "outcomeUri": "u"}
    times = {"created": None, "headerReceived": None, "completed": time}
    with pytest.raises(Unreadable):
        read_outcome(json.dumps(record | {"series": [], "problem": None, "timestamps": times}).encode())


@pytest.mark.parametrize("text", ["?", "e30", "eyJ2IjoyfQ==", "/w=="])
def test_an_audience_that_cannot_be_read_is_not_guessed_at(text: str) -> None:
    with pytest.raises(Unreadable):
        read_audience({"brh_audience": text})


# Headers


MESSAGE = HeaderMessage(T1, Header((SeriesSpec("a"),)), "d-1", None, Trace())


async def kept_by_a_newer_release() -> MemoryBlobs:
    blobs = MemoryBlobs()
    await keep_header(blobs, MESSAGE, START)
    await rewrite(blobs, record_name(T1, HEADER_BLOB), CHANGES[0])
    return blobs


async def test_a_header_is_not_compared_with_one_that_cannot_be_read() -> None:
    blobs = await kept_by_a_newer_release()
    for call in (keep_header(blobs, MESSAGE, START), find_header(blobs, T1)):
        with pytest.raises(Unreadable) as raised:
            await call
        assert raised.value.code is ReadCode.NEWER_VERSION


async def test_its_message_is_refused_by_a_code_and_the_bridge_goes_on() -> None:
    refused: list[Refused] = []
    rejected: list[int] = []
    bugs: list[Exception] = []

    class Hold:
        async def insist(self, _: object, attempt: Callable[[], Any]) -> Any:
            return await attempt()

    async def announce(*_: object) -> None:
        return None

    facts: list[object] = []

    async def publish(_: object, fact: object) -> None:
        facts.append(fact)

    def announcement(of: Refused) -> Rejection:
        refused.append(of)
        return rejection(of, "default")

    outlets: Any = SimpleNamespace(
        blobs=await kept_by_a_newer_release(),
        storage=None,
        hold=Hold,
        announce=announce,
        publish=publish,
        rejection=announcement,
    )
    intake = HeaderIntake(outlets, memory=None, crash=bugs.append)  # type: ignore[arg-type]
    incoming: Any = SimpleNamespace(
        properties=Properties("brh.header.v1", T1, "application/json"), size=1, routing_key="header.x", tag=7,
        lane=SimpleNamespace(reject=rejected.append),
    )  # fmt: skip
    body = b'{"series": [{"type": "a"}]}'
    await intake._take("brh.headers", incoming, body, Hold(), lambda: None)  # type: ignore[arg-type]
    assert (rejected, [each.why.code for each in refused], bugs) == ([7], [RejectionCode.RECORD_UNREADABLE], [])
    ((fact),) = facts
    assert isinstance(fact, MessageRefused)
    assert (fact.transaction, fact.problem.code) == (T1, "record-unreadable")
    assert fact.problem.detail.startswith("A header: ")


def test_a_document_of_this_release_does_not_say_its_version() -> None:
    assert "v" not in json.loads(msgspec.json.encode(Told("n-1", "2026-01-31T12:00:00.000Z")))
    assert Outcome.__struct_config__.tag is None
