"""What producers send: results that complete, fail, are given up, or are refused."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import uuid4

import aiohttp

from bridge.layout import MIB, part_name
from tests.crash.acts import LARGE, STEP_S, TIMES, Act
from tests.crash.outside import until
from tests.crash.sent import fresh

TIMEOUT: Final = aiohttp.ClientTimeout(5)


async def results(act: Act) -> None:
    first = act.expect(fresh({"small": [*range(1, 12), 0], "medium": [LARGE], "large": [9 * MIB]}, reply=True))
    second = act.expect(fresh({"small": [700] * 9, "medium": [LARGE] * 2, "none": []}))
    third = act.expect(fresh({"small": [50] * 5, "medium": [LARGE + 1]}, reply=True))
    await asyncio.gather(
        act.producer.all_of(first, header_at=0),
        act.producer.all_of(second, header_at=1, duplicates=3),
        act.producer.all_of(third, header_at=0.5, duplicates=1),
    )


async def refusals(act: Act) -> None:
    sent, producer = act.expect(fresh({"a": [100] * 3, "b": [LARGE]})), act.producer
    _, no_json = producer.header(sent)
    no_json.body = b"{"
    bad = [
        ("header.default", no_json),
        producer.payload(sent, "a", 1, brh_ordinal=9),
        producer.payload(sent, "a", 2, brh_sha256="0" * 64),
        producer.payload(sent, "b", 1, brh_sha256="f" * 64),
        producer.payload(sent, "b", 1, brh_total_count="many"),
    ]
    act.ledger.refused += [message.message_id or "" for _, message in bad]
    await asyncio.gather(producer.publish(bad), producer.all_of(sent, header_at=0.5))


async def conflicts(act: Act) -> None:
    async def conflict() -> None:
        sent = act.expect(fresh({"a": [90] * 4, "b": [LARGE]}, outcome="Failed", code="conflicting-payload"))
        producer = act.producer
        await producer.publish([producer.payload(sent, "a", n) for n in (1, 2)] + [producer.payload(sent, "b", 1)])
        await producer.publish([producer.payload(sent, "a", 2, b"other"), producer.header(sent)])

    await asyncio.gather(*(conflict() for _ in range(TIMES)))


async def orphans(act: Act) -> None:
    async def with_a_stray() -> None:
        sent, producer = act.expect(fresh({"a": [90] * 4}, orphans=True)), act.producer
        strays = [producer.payload(sent, "stray", n, b"stray", total=3) for n in (1, 3)]
        await producer.publish([*strays, producer.header(sent, onConflict="keep-first")])
        await producer.some_of(sent, "a", [1, 2, 3])

        async def known() -> bool:
            row = await act.site.row(sent.transaction)
            counts = {each["seriesType"]: each["receivedCount"] for each in row["series"]} if row else {}
            return counts.get("stray") == len(strays)

        await until(known, STEP_S, "the tracker knows of the stray payloads")
        await producer.some_of(sent, "a", [4])

    await asyncio.gather(*(with_a_stray() for _ in range(TIMES)))


async def unclear(act: Act) -> None:
    async def with_two_contents() -> None:
        sent, producer = act.expect(fresh({"a": [LARGE, LARGE, 90]})), act.producer
        other = fresh({"a": [LARGE]}).series["a"][0]
        sent.either["a", 2] = other
        await producer.publish([producer.header(sent, onConflict="keep-first")])
        await producer.publish([producer.payload(sent, "a", n) for n in (1, 2)])
        await producer.publish([producer.payload(sent, "a", 2, other)])

        async def both_staged() -> bool:
            blocks = await act.site.blobs.uncommitted(part_name(sent.transaction, "a", 0))
            return len({block.id for block in blocks if block.id.first == 2}) == 2

        await until(both_staged, STEP_S, "both contents are staged")
        await producer.some_of(sent, "a", [3])

    await asyncio.gather(*(with_two_contents() for _ in range(TIMES)))


async def commands(act: Act) -> None:
    async def cancelled() -> None:
        sent = act.expect(fresh({"a": [90, 90]}, outcome="Abandoned", code="cancelled"))
        await act.producer.publish([act.producer.header(sent), act.producer.payload(sent, "a", 1)])
        key = {"Idempotency-Key": uuid4().hex}

        async def taken() -> bool:
            # Whoever asks and gets no answer asks again, with the same key.
            try:
                url = f"{act.site.api}/v1/transactions/{sent.transaction}/cancel"
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(url, headers=key, timeout=TIMEOUT) as answer,
                ):
                    return answer.status in {202, 409}
            except (aiohttp.ClientError, TimeoutError):
                return False

        await until(taken, STEP_S, "the cancellation is accepted")

    await asyncio.gather(*(cancelled() for _ in range(TIMES)))


async def lateness(act: Act) -> None:
    producer = act.producer
    nothing = act.expect(fresh({"a": [90] * 3}, outcome="Abandoned", code="no-header", header=False, orphans=True))
    await producer.some_of(nothing, "a", [1, 3])
    gap = act.expect(fresh({"a": [90] * 4, "b": [LARGE]}, outcome="Abandoned", code="timeout"))
    await producer.publish([producer.header(gap), producer.payload(gap, "a", 2)])
    holes = act.expect(fresh({"a": [90] * 5, "b": [LARGE] * 2}, received={"a": [1, 2, 4], "b": [2]}))
    await producer.publish([producer.header(holes, onTimeout="partial"), producer.payload(holes, "b", 2)])
    await producer.some_of(holes, "a", [1, 2, 4])
