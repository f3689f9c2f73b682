"""Messages that contradict each other, on the real stack: what came first stays, and the losing bytes are nowhere.

Every contradiction is played with both policies in one scenario, in three steps: what comes first, what contradicts it
once the first is shown, and the rest. The tests look at what is left of it. Then two bridges race for the same
ordinals.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import uuid4

import aio_pika
import msgspec
import pytest

from bridge.checksums import crc64, hex16
from bridge.contract.events import HeaderReceived, Staged, decode
from bridge.header_body import parse_body
from bridge.layout import BlockId, part_name
from tables.transaction import FINAL
from tests.support.deliveries import committed_parts
from tests.support.outside import (
    Heard,
    consumed_by,
    dead_letters,
    header_message,
    kafka_records,
    listening,
    payload_message,
    publish_messages,
    staged_facts,
    until_read,
)
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(300)

TYPES = """
[types.lenient]
on_conflict = "keep-first"
"""
POLICIES: Final = {"strict": "fail", "lenient": "keep-first"}
"""By transaction type."""
ONE, OTHER = b"one " * 50, b"another " * 50
MARGIN_S = 90.0
KIB = 1 << 10

Sent: TypeAlias = tuple[str, aio_pika.Message]
Say: TypeAlias = Callable[[str, str], Sent]
"""A message, once the transaction and its type are known."""


def head(labels: dict[str, str] | None = None, **total_counts: int | None) -> Say:
    def say(txn: str, kind: str) -> Sent:
        return f"header.{kind}", header_message(txn, header_of(kind, labels, **total_counts))

    return say


def header_of(kind: str, labels: dict[str, str] | None = None, **total_counts: int | None) -> dict[str, Any]:
    series = [
        {"type": name} if total is None else {"type": name, "totalCount": total} for name, total in total_counts.items()
    ]
    return {"transactionType": kind, "series": series, "labels": labels or {}}


def body(series: str, ordinal: int, of: int, content: bytes) -> Say:
    def say(txn: str, kind: str) -> Sent:
        return f"small.{series}", payload_message(txn, series, ordinal, of, content)

    return say


def digest(content: bytes) -> str:
    return hex16(crc64([content]))


def header_digest(kind: str, labels: dict[str, str] | None, **total_counts: int | None) -> str:
    found = parse_body(json.dumps(header_of(kind, labels, **total_counts)).encode())
    assert isinstance(found, tuple)
    return found[1]


@dataclass(frozen=True)
class Case:
    """A contradiction; `says` are what both messages said, as the problem names it."""

    code: str
    says: Callable[[str], tuple[str, ...]]
    first: list[Say]
    second: list[Say]
    rest: list[Say]
    result: Mapping[str, list[bytes]] = field(default_factory=lambda: {"a": [ONE, ONE]})
    orphans: tuple[str, ...] = ()


def both(*texts: str) -> Callable[[str], tuple[str, ...]]:
    return lambda _: texts


BOOK = {"book": "EUR"}
CASES: dict[str, Case] = {
    "other bytes": Case(
        "conflicting-payload",
        both(digest(ONE), digest(OTHER)),
        [head(a=2), body("a", 1, 2, ONE)],
        [body("a", 1, 2, OTHER)],
        [body("a", 2, 2, ONE)],
    ),
    "bytes after an empty payload": Case(
        "conflicting-payload",
        both("the empty one stays", digest(OTHER)),
        [head(a=2), body("a", 1, 2, b"")],
        [body("a", 1, 2, OTHER)],
        [body("a", 2, 2, ONE)],
        {"a": [b"", ONE]},
    ),
    "an empty payload after bytes": Case(
        "conflicting-payload",
        both(digest(ONE), "0 bytes"),
        [head(a=2), body("a", 1, 2, ONE)],
        [body("a", 1, 2, b"")],
        [body("a", 2, 2, ONE)],
    ),
    "other bytes before the header": Case(
        "conflicting-payload",
        both(digest(ONE), digest(OTHER)),
        [body("a", 1, 2, ONE)],
        [body("a", 1, 2, OTHER)],
        [head(a=2), body("a", 2, 2, ONE)],
    ),
    "another total count": Case(
        "conflicting-total-count",
        both("says 3", "known is 2"),
        [head(a=None), body("a", 1, 2, ONE)],
        [body("a", 2, 3, OTHER)],
        [body("a", 2, 2, ONE)],
    ),
    "a payload beyond the header's total count": Case(
        "conflicting-total-count",
        both("ordinal 3: says 3", "known is 2"),
        [head(a=2)],
        [body("a", 3, 3, OTHER)],
        [body("a", 1, 2, ONE), body("a", 2, 2, ONE)],
    ),
    "a payload of an empty series": Case(
        "conflicting-total-count",
        both("says 1", "known is 0"),
        [head(a=0, b=1)],
        [body("a", 1, 1, OTHER)],
        [body("b", 1, 1, ONE)],
        {"a": [], "b": [ONE]},
    ),
    "a header with another total count": Case(
        "conflicting-total-count",
        both("payloads say 2", "the header says 3"),
        [body("a", 1, 2, ONE)],
        [head(a=3)],
        [body("a", 2, 2, ONE)],
    ),
    "another header": Case(
        "conflicting-header",
        lambda kind: (header_digest(kind, None, a=2), header_digest(kind, BOOK, a=2)),
        [head(a=2)],
        [head(BOOK, a=2)],
        [body("a", 1, 2, ONE), body("a", 2, 2, ONE)],
    ),
    "a series that the header does not list": Case(
        "unknown-series",
        both("Series u"),
        [head(a=2)],
        [body("u", 1, 1, OTHER)],
        [body("a", 1, 2, ONE), body("a", 2, 2, ONE)],
        orphans=("u",),
    ),
    "a series that the header turns out not to list": Case(
        "unknown-series",
        both("Series u"),
        [body("u", 1, 1, OTHER)],
        [head(a=2)],
        [body("a", 1, 2, ONE), body("a", 2, 2, ONE)],
        orphans=("u",),
    ),
}
each_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def pair(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation with two bridges."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "types.toml").write_text(TYPES)
    world = World(
        stack_env, folder, bridges=2, env={"BRH_TYPES_FILE": str(folder / "types.toml"), "BRH_LANES": str(LANES)}
    )
    world.start()
    yield world
    world.stop()


# --- one after the other


@dataclass(frozen=True)
class Played:
    heard: Heard
    orphans: list[dict[str, Any]]
    """Data of what came to the queue of orphans."""
    names: dict[tuple[str, str], str]
    """Of transactions, by case and type."""


@pytest.fixture(scope="module")
def played(pair: World) -> Played:
    with ThreadPoolExecutor(1) as thread:  # a test may be running an event loop in this one
        return thread.submit(asyncio.run, play(pair)).result()


async def play(world: World) -> Played:
    names = {(case, kind): f"T-{uuid4().hex[:12]}" for case in CASES for kind in POLICIES}
    async with listening(world) as heard:
        for step, is_there in ((first, shows_first), (second, shows_problem), (rest, is_closed)):
            sent = [say(txn, kind) for (case, kind), txn in names.items() for say in step(CASES[case])]
            await publish_messages(world, sent)
            for (case, _), txn in names.items():
                probe = partial(shown, world, txn, partial(is_there, CASES[case]))
                await asyncio.to_thread(until, probe, MARGIN_S, f"{case}: {step.__name__} of {txn}; see {world.log}")
        for txn in names.values():
            await heard.wait(txn)
    letters: dict[str | None, dict[str, Any]] = {}
    while len(letters) < sum(bool(case.orphans) for case in CASES.values()):
        (letter,) = await dead_letters(world, 1, "brh.orphans")
        letters[letter.message_id] = json.loads(letter.body)["data"]
    return Played(heard, list(letters.values()), names)


def first(case: Case) -> list[Say]:
    return case.first


def second(case: Case) -> list[Say]:
    return case.second


def rest(case: Case) -> list[Say]:
    return case.rest


def shown(world: World, txn: str, is_there: Callable[[dict[str, Any]], bool]) -> bool:
    row = world.transaction(txn)
    return row is not None and is_there(row)


def shows_first(case: Case, row: dict[str, Any]) -> bool:
    sent = [say("T", "default")[0] for say in case.first]
    received = sum(series["receivedCount"] for series in row["series"])
    return received + (row["header"] is not None) == len(sent)


def shows_problem(case: Case, row: dict[str, Any]) -> bool:
    return case.code in [problem["code"] for problem in row["problems"]]


def is_closed(_: Case, row: dict[str, Any]) -> bool:
    return row["state"] in FINAL


async def committed(world: World, txn: str) -> dict[str, bytes]:
    """Name and bytes of every series that has a committed part; none has two."""
    async with world.blobs() as blobs:
        found = {}
        for name in await committed_parts(blobs, txn):
            content = await blobs.read(name)
            assert content is not None
            found[name.split("/")[1]] = content.body
        return found


def explained(world: World, txn: str) -> list[tuple[str, str]]:
    """Code and text of the problems among the events of an explanation."""
    status, found = world.get(f"/v1/transactions/{txn}/explain")
    assert status == 200
    return [(each["code"], each["text"]) for each in found["events"] if each["kind"] == "problem"]


def assert_explained(world: World, txn: str, code: str, says: tuple[str, ...]) -> None:
    (text,) = (text for found, text in explained(world, txn) if found == code)
    assert all(each in text for each in says), text


@each_case
async def test_by_default_a_contradiction_fails_the_transaction_and_says_what_both_said(
    pair: World, played: Played, case: str
) -> None:
    wanted, txn = CASES[case], played.names[case, "strict"]
    (message,) = {each.body: each for each in played.heard.of(txn)}.values()
    data = json.loads(message.body)["data"]
    assert (data["outcome"], data["series"][0]["parts"]) == ("Failed", [])
    problem = data["problem"]
    assert (problem["code"], problem["terminal"], problem["retryable"]) == (wanted.code, True, False)
    assert all(each in problem["detail"] for each in wanted.says("strict")), problem
    row = pair.transaction(txn)
    assert row is not None
    assert (row["state"], row["problem"]) == ("Failed", problem)
    assert_explained(pair, txn, wanted.code, wanted.says("strict"))
    assert await committed(pair, txn) == {}
    assert txn not in [each["transactionId"] for each in played.orphans]


@each_case
async def test_where_the_first_stays_it_is_the_result_and_the_problem_says_what_both_said(
    pair: World, played: Played, case: str
) -> None:
    wanted, txn = CASES[case], played.names[case, "lenient"]
    (message,) = {each.body: each for each in played.heard.of(txn)}.values()
    data = json.loads(message.body)["data"]
    assert (data["outcome"], data["partial"], data["problem"]) == ("Completed", False, None)
    assert await committed(pair, txn) == {name: b"".join(bodies) for name, bodies in wanted.result.items()}
    row = pair.transaction(txn)
    assert row is not None
    # Its delivery may have had to ask which blocks were meant.
    (problem,) = (each for each in row["problems"] if each["code"] == wanted.code)
    assert not problem["terminal"]
    assert all(each in problem["detail"] for each in wanted.says("lenient")), problem
    assert_explained(pair, txn, wanted.code, wanted.says("lenient"))
    orphans = [each for each in played.orphans if each["transactionId"] == txn]
    assert [series["seriesType"] for each in orphans for series in each["series"]] == list(wanted.orphans)
    assert [each["reason"] for each in orphans] == ["unknown-series"] * len(wanted.orphans)


# --- whenever it was staged


async def test_losing_bytes_are_never_committed_whether_they_are_staged_first_last_or_behind_the_commit(
    pair: World,
) -> None:
    txn = f"T-{uuid4().hex[:12]}"

    async def send(*says: Say) -> None:
        await publish_messages(pair, [say(txn, "lenient") for say in says])

    async def until_shown(wanted: Callable[[dict[str, Any]], bool], what: str) -> None:
        await asyncio.to_thread(until, lambda: shown(pair, txn, wanted), MARGIN_S, what)

    async with pair.blobs() as blobs:

        async def stage(ordinal: int) -> None:
            """As a bridge does that dies before it publishes."""
            block = BlockId(3, ordinal, 1, 0, 1, crc64([OTHER]))
            await blobs.stage_block(part_name(txn, "a", 0), block, [OTHER])

        await stage(1)
        await stage(2)
        await send(head(a=3), body("a", 1, 3, ONE), body("a", 2, 3, ONE))
        await until_shown(lambda row: row["series"] and row["series"][0]["receivedCount"] == 2, "two payloads")
        await send(body("a", 2, 3, OTHER))
        await until_shown(lambda row: bool(row["problems"]), "the contradiction")
        await stage(3)
        await send(body("a", 3, 3, ONE))
        await asyncio.to_thread(pair.wait_state, txn, ["Completed"])
        assert await committed(pair, txn) == {"a": ONE * 3}
        before = await blobs.properties(part_name(txn, "a", 0))
        await send(*(body("a", ordinal, 3, OTHER) for ordinal in (1, 2, 3)))
        await staged_facts(pair, {txn: 7})
        await until_read(pair, txn)
        assert await blobs.properties(part_name(txn, "a", 0)) == before
        assert await committed(pair, txn) == {"a": ONE * 3}


# --- two bridges at once

RACES = 16
LANES = 4
"""Of a bridge, for large payloads."""
SIZES: Final = {"small": [700 * n for n in range(1, 9)], "large": [300 * KIB, 260 * KIB]}
TOTALS: Final = {"A": 2, "B": 3}
"""Of the series `total`, of which the two producers say different things."""


def variant(txn: str, producer: str, series: str, ordinal: int) -> bytes:
    """What a producer sends: other bytes than the other one, of the same length."""
    size = 100 if series == "total" else SIZES[series][ordinal - 1]
    said = f"{txn}/{producer}/{series}/{ordinal}/".encode()
    return (said * (size // len(said) + 1))[:size]


def variants(txn: str, producer: str) -> list[Sent]:
    said = [(series, n, len(sizes)) for series, sizes in SIZES.items() for n in range(1, len(sizes) + 1)]
    said += [("total", n, TOTALS[producer]) for n in range(1, TOTALS[producer] + 1)]
    return [
        (
            f"{'payload' if series == 'large' else 'small'}.{series}",
            payload_message(txn, series, n, total, variant(txn, producer, series, n)),
        )
        for series, n, total in said
    ]


def accepted(facts: list[Staged]) -> dict[str, dict[int, str]]:
    """By series, the CRC-64 of the first that was said of each ordinal; of a run all or nothing counts."""
    found: dict[str, dict[int, str]] = {}
    totals: dict[str, int] = {}
    for fact in facts:
        first = found.setdefault(fact.series, {})
        said = dict(zip(range(fact.first, fact.first + fact.count), fact.crc64s, strict=True))
        if totals.setdefault(fact.series, fact.total_count) == fact.total_count and all(
            first.get(ordinal, crc) == crc for ordinal, crc in said.items()
        ):
            first.update(said)
    return found


async def test_two_bridges_that_race_for_the_same_ordinals_commit_what_the_events_say_came_first(pair: World) -> None:
    for queue, consumers in (("brh.payloads.small", 2), ("brh.payloads", 2 * LANES)):
        await consumed_by(pair, queue, consumers)
    kinds = {f"T-{uuid4().hex[:12]}": "strict" if number % 4 == 0 else "lenient" for number in range(RACES)}
    heads = [head(small=8, large=2, total=None)(txn, kind) for txn, kind in kinds.items()]
    await publish_messages(pair, heads[: RACES // 2])
    # Side by side, and each connection sends for both producers in turn: whichever is faster, both win.
    turns = [dict(zip(kinds, itertools.cycle(order), strict=False)) for order in ("AB", "BA")]
    await asyncio.gather(
        *(
            publish_messages(pair, [sent for txn, producer in turn.items() for sent in variants(txn, producer)])
            for turn in turns
        )
    )
    await publish_messages(pair, heads[RACES // 2 :])
    sent = dict.fromkeys(kinds, sum(len(variants("T", producer)) for producer in "AB"))
    facts = await staged_facts(pair, sent)
    lenient = [txn for txn, kind in kinds.items() if kind == "lenient"]
    for txn in lenient:
        await fill(pair, txn, accepted(facts[txn]))
    rows = {txn: await asyncio.to_thread(pair.wait_state, txn, FINAL, MARGIN_S) for txn in kinds}
    facts = await staged_facts(pair, sent)
    winners: Counter[str] = Counter()
    for txn, row in rows.items():
        if row["state"] == "Failed":
            assert row["problem"]["code"] in {"conflicting-payload", "conflicting-total-count"}
            assert await committed(pair, txn) == {}
        else:
            by = producers(txn, accepted(facts[txn]))
            assert await committed(pair, txn) == {
                series: b"".join(variant(txn, producer, series, n) for n, producer in enumerate(of, 1))
                for series, of in by.items()
            }
            winners.update(producer for of in by.values() for producer in of)
    states = Counter((kinds[txn], row["state"], bool(row["problems"])) for txn, row in rows.items())
    print(f"type, state, contradicted: {dict(states)}; ordinals won by each producer: {dict(winners)}")
    assert {row["state"] for txn, row in rows.items() if txn in lenient} == {"Completed"}
    assert states["strict", "Failed", True] > 0, "where nobody was too late"
    assert states["lenient", "Completed", True] > 0
    assert set(winners) == {"A", "B"}


def producers(txn: str, first: dict[str, dict[int, str]]) -> dict[str, list[str]]:
    """By series, whose bytes were the first of each ordinal."""
    return {
        series: [
            next(producer for producer in "AB" if digest(variant(txn, producer, series, n)) == crc)
            for n, crc in sorted(crcs.items())
        ]
        for series, crcs in first.items()
    }


async def fill(world: World, txn: str, first: dict[str, dict[int, str]]) -> None:
    """Send what a run took with it when it lost as a whole: the gaps name it."""
    missing = [
        (series, ordinal, len(sizes))
        for series, sizes in SIZES.items()
        for ordinal in range(1, len(sizes) + 1)
        if ordinal not in first.get(series, {})
    ]
    for series, ordinal, total in missing:
        sent = payload_message(txn, series, ordinal, total, variant(txn, "A", series, ordinal))
        await publish_messages(world, [(f"small.{series}", sent)])


async def test_of_two_headers_that_race_one_is_kept_and_everything_follows_it(pair: World) -> None:
    await consumed_by(pair, "brh.headers", 2)
    kinds = dict.fromkeys((f"T-{uuid4().hex[:12]}" for _ in range(RACES)), "lenient")
    labels = {"A": {"by": "A"}, "B": {"by": "B"}}
    await asyncio.gather(
        *(
            publish_messages(pair, [head(said, a=1)(txn, kind) for txn, kind in kinds.items()])
            for said in labels.values()
        )
    )
    await publish_messages(pair, [body("a", 1, 1, ONE)(txn, kind) for txn, kind in kinds.items()])
    digests = {name: header_digest("lenient", said, a=1) for name, said in labels.items()}
    rows = {txn: await asyncio.to_thread(pair.wait_state, txn, ["Completed"]) for txn in kinds}
    said_of = await said_by_headers(pair, kinds)
    async with pair.blobs() as blobs:
        for txn, row in rows.items():
            kept = await blobs.read(f"{txn}/_header.json")
            assert kept is not None
            winner = row["header"]["labels"]["by"]
            assert msgspec.json.decode(kept.body)["digest"] == digests[winner]
            loser = digests["B" if winner == "A" else "A"]
            # Whoever came second reports the first.
            assert said_of[txn] == {(digests[winner], None), (digests[winner], loser)}
            assert await committed(pair, txn) == {"a": ONE}


async def said_by_headers(world: World, transactions: Collection[str]) -> dict[str, set[tuple[str, str | None]]]:
    """Digest and contradicting digest of every header that bridges tell of, once both headers of each are told."""
    async with asyncio.timeout(MARGIN_S):
        while True:
            found: dict[str, set[tuple[str, str | None]]] = {txn: set() for txn in transactions}
            for value in await kafka_records(world, world.topics.events):
                event = decode(value)
                if isinstance(event, HeaderReceived) and event.transaction in found:
                    found[event.transaction].add((event.digest, event.conflicting_digest))
            if all(len(said) > 1 for said in found.values()):
                return found
