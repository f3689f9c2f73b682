"""What happens to an installation: records that nobody can read, restarts, cuts, silence, age."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from bridge.layout import OUTCOME_BLOB, TOLD_BLOB, part_name, record_name
from streams.outcome import write_outcome
from tables.effects import KeepAlive, encode, notice_id
from tests.crash.acts import LARGE, STEP_S, TIMES, Act
from tests.crash.outside import until
from tests.crash.sent import fresh
from tests.support.deliveries import below
from tests.support.result import Result


async def unreadable(act: Act) -> None:
    topics = act.site.world.topics
    for topic in (topics.events, topics.deliveries):
        for number in range(TIMES):
            record = f"nobody can read this {uuid4().hex}".encode()
            act.ledger.unreadable.append(record)
            await act.site.outside.producer.send_and_wait(topic, record, partition=number)
    for _ in range(TIMES):
        await act.producer.all_of(act.expect(fresh({"a": [90] * 3})), header_at=0)


async def silence(act: Act) -> None:
    child = await act.site.keeper.pause("delivery-1")
    for _ in range(TIMES):
        await act.producer.all_of(act.expect(fresh({"a": [90] * 3})), header_at=0)
    await act.passed("tracker.asked-again")
    act.site.keeper.start(child)


async def restarts(act: Act) -> None:
    for _ in range(TIMES):
        if act.fired():
            break
        sent = act.expect(fresh({"small": [90] * 6, "medium": [LARGE]}))
        await act.producer.publish([act.producer.header(sent)])
        await act.producer.some_of(sent, "small", [1, 2, 3])
        for kind in act.runs:
            await act.site.keeper.restart(f"{kind}-1")
        await act.producer.some_of(sent, "medium", [1])
        await act.producer.some_of(sent, "small", [4, 5, 6])
        for kind in act.runs:
            if not act.fired():
                await act.site.ready(kind)


async def cuts(act: Act) -> None:
    for _ in range(TIMES):
        if act.fired():
            break
        sent = act.expect(fresh({"small": [90] * 6, "medium": [LARGE] * 3}))
        await act.producer.all_of(sent, header_at=0.5)
        await asyncio.to_thread(act.site.cut_lanes)
        await until(
            lambda sent=sent: act.fired() or sent.transaction in act.site.outside.outcomes, STEP_S, "it is told"
        )


async def renewals(act: Act) -> None:
    async def renewed() -> None:
        sent = act.expect(fresh({"a": [LARGE, LARGE]}))
        await act.producer.publish([act.producer.header(sent), act.producer.payload(sent, "a", 1)])
        name = part_name(sent.transaction, "a", 0)
        await until(lambda: act.site.blobs.uncommitted(name), STEP_S, "the block is staged")
        topics = act.site.world.topics
        effect = KeepAlive(notice_id(sent.transaction, "keep-alive", 1), sent.transaction, 1)
        partition = topics.partition_of(sent.transaction)
        await act.site.outside.producer.send_and_wait(topics.deliveries, encode(effect), partition=partition)
        await act.passed("delivery.kept-alive")
        await act.producer.some_of(sent, "a", [2])

    await asyncio.gather(*(renewed() for _ in range(TIMES)))


async def forgetting(act: Act) -> None:
    for _ in range(TIMES):
        await act.producer.all_of(act.expect(fresh({"a": [90] * 3})), header_at=0)
    await act.passed("tracker.outcome-forgotten")


async def sweeping(act: Act) -> None:
    blobs = act.site.blobs

    async def untold() -> None:
        sent = act.expect(fresh({}, outcome="Failed", code="completion-timeout", header=False))
        result = Result({"a": [b"a1", b"a2"]}, name=sent.transaction)
        await result.stage_all(blobs)
        await write_outcome(blobs, result.failed(), ())
        await until(lambda: blobs.read(record_name(sent.transaction, TOLD_BLOB)), STEP_S, "it is told")
        await result.stage(blobs, "a", 1)
        await until(lambda: _only_records(act, sent.transaction), STEP_S, "what was staged behind it is removed")

    await asyncio.gather(*(untold() for _ in range(TIMES)))


async def expiry(act: Act) -> None:
    blobs = act.site.blobs
    for _ in range(TIMES):
        result = Result({"a": [b"a1", b"a2"], "b": [b"b1"]}, name=f"T-{uuid4().hex[:12]}")
        act.ledger.gone.append(result.name)
        await result.stage_all(blobs)
        # Told before it is decided, as it cannot be: the sweep looks for old outcomes, and begins with the outcome.
        await blobs.write_once(record_name(result.name, TOLD_BLOB), b"{}", content_type="a/b", metadata={})
        await write_outcome(blobs, result.failed(), ())
    await until(lambda: _all_gone(act), STEP_S, "results are removed")


async def _only_records(act: Act, transaction: str) -> bool:
    return all(each.name.endswith((OUTCOME_BLOB, TOLD_BLOB)) for each in await below(act.site.blobs, transaction))


async def _all_gone(act: Act) -> bool:
    return not any([each async for each in _left(act)])


async def _left(act: Act) -> Any:
    for transaction in act.ledger.gone:
        for each in await below(act.site.blobs, transaction):
            yield each
