"""What a courier answers, and who is told what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.blobs import BlobsRefused, BlobsUnavailable
from bridge.contract.events import Delivered, DeliveryRefused, Told
from bridge.contract.inbound import Header, SeriesSpec
from bridge.layout import KEEP_ALIVE
from bridge.memory_blobs import MemoryBlobs
from streams.settings import DeliverySettings
from tables.effects import Announce, KeepAlive
from tests.support.deliveries import courier, deliver
from tests.support.posted import Posted
from tests.support.result import START, Result, problem

GAP = Announce("e-gap", "T1", "valuation", "gap", START, 2, problem("gap"), reply_to="asked")
ACCEPTED = Announce("e-1", "T1", "valuation", "accepted", START, header=Header((SeriesSpec("a"),)))
ALIVE = KeepAlive("e-alive", "T1", 1)


async def staged(**options: Any) -> tuple[MemoryBlobs, Result]:
    blobs, result = MemoryBlobs(), Result({"a": [b"a1", b"a2"], "b": [b"b1"]}, **options)
    await result.stage_all(blobs)
    return blobs, result


# --- who is told


@pytest.mark.parametrize("verdict", ["completed", "failed", "abandoned"])
async def test_an_outcome_goes_to_kafka_to_the_exchange_and_to_whoever_asked(verdict: str) -> None:
    blobs, result = await staged(reply_to="asked")
    posted = Posted()
    effect = result.abandoned(header=True) if verdict == "abandoned" else getattr(result, verdict)()
    await deliver(courier(blobs, posted), effect)
    assert posted.places == ["kafka", f"transaction.{verdict}.valuation", "queue:asked"]
    assert posted.at("kafka") == posted.at("queue:asked")


async def test_a_delivery_again_tells_nobody_again() -> None:
    blobs, result = await staged()
    posted = Posted()
    first = await deliver(courier(blobs, posted), result.completed())
    again = await deliver(courier(blobs, posted), result.completed())
    assert first == again
    assert posted.places == ["kafka", "transaction.completed.valuation"]


async def test_a_notice_goes_to_the_exchange_and_to_whoever_asked() -> None:
    posted = Posted()
    answer = await courier(MemoryBlobs(), posted).carry_out(GAP)
    assert isinstance(answer, Told)
    assert (answer.transaction, answer.effect) == ("T1", "e-gap")
    assert posted.places == ["transaction.gap.valuation", "queue:asked"]
    assert posted.at("queue:asked") == posted.at("transaction.gap.valuation")


async def test_without_reply_to_only_the_exchange_is_told() -> None:
    posted = Posted()
    assert isinstance(await courier(MemoryBlobs(), posted).carry_out(ACCEPTED), Told)
    assert posted.places == ["transaction.accepted.valuation"]


async def test_a_queue_that_has_gone_keeps_nobody_from_being_told() -> None:
    posted = Posted(missing_queues=["asked"])
    assert isinstance(await courier(MemoryBlobs(), posted).carry_out(GAP), Told)
    blobs, result = await staged()
    answer = await courier(blobs, posted).carry_out(replace(result.completed(), reply_to="asked"))
    assert isinstance(answer, Delivered)


# --- refusals


async def test_a_plan_that_cannot_be_read_is_refused_and_decides_nothing() -> None:
    blobs, result = await staged()
    effect = result.completed()
    first, *others = effect.series
    damaged = replace(first, parts=tuple(replace(part, tiles="!") for part in first.parts))
    answer = await courier(blobs, Posted()).carry_out(replace(effect, series=(damaged, *others)))
    assert isinstance(answer, DeliveryRefused)
    assert (answer.problem.code, answer.problem.retryable) == ("plan-unreadable", True)
    assert await blobs.read("T1/_outcome.json") is None
    assert isinstance(await courier(blobs, Posted()).carry_out(effect), Delivered)


async def test_an_exchange_without_a_queue_is_a_refusal_that_says_what_to_do() -> None:
    blobs, result = await staged()
    for effect in (GAP, result.completed()):
        answer = await courier(blobs, Posted(unroutable=True)).carry_out(effect)
        assert isinstance(answer, DeliveryRefused)
        assert (answer.delivery, answer.problem.code) == (effect.id, "notification-unconfirmed")
        assert "brh setup" in answer.problem.detail
    assert await blobs.read("T1/_told.json") is None


async def test_what_is_not_confirmed_is_refused_and_told_later() -> None:
    blobs, result = await staged()
    posted = Posted()
    posted.confirms = False
    one = courier(blobs, posted)
    for effect in (GAP, result.completed()):
        answer = await one.carry_out(effect)
        assert isinstance(answer, DeliveryRefused)
        assert (answer.problem.code, answer.problem.stage, answer.problem.terminal) == (
            "notification-unconfirmed",
            "notify",
            False,
        )
    posted.confirms = True
    assert isinstance(await one.carry_out(GAP), Told)
    assert isinstance(await one.carry_out(result.completed()), Delivered)


@pytest.mark.parametrize(
    ("error", "code"), [(BlobsUnavailable("down"), "storage-unavailable"), (BlobsRefused("no"), "storage-refused")]
)
async def test_sick_storage_is_a_refusal_of_that_effect(error: Exception, code: str) -> None:
    blobs, result = await staged()

    async def fails(what: str) -> None:
        if what.startswith(("before read", "before page")):
            raise error

    for effect in (ALIVE, result.failed(), result.completed()):
        answer = await courier(blobs, Posted(), fails).carry_out(effect)
        assert isinstance(answer, DeliveryRefused)
        assert (answer.delivery, answer.problem.code) == (effect.id, code)


async def test_an_attempt_has_a_limit() -> None:
    blobs, result = await staged()
    settings = DeliverySettings.model_construct(delivery_attempt_s=0.05, commits_in_flight=2)

    async def hangs(_: str) -> None:
        await asyncio.Event().wait()

    answer = await courier(blobs, Posted(), hangs, settings).carry_out(result.completed())
    assert isinstance(answer, DeliveryRefused)
    assert answer.problem.code == "delivery-timeout"


# --- once at a time


async def test_what_is_in_hand_is_not_taken_a_second_time() -> None:
    blobs, result = await staged()
    posted = Posted()
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def held(_: str) -> None:
        inside.set()
        await go_on.wait()

    one = courier(blobs, posted, held)
    for effect, again in ((result.completed(), result.failed()), (GAP, GAP), (ALIVE, ALIVE)):
        inside.clear()
        go_on.clear()
        first = asyncio.create_task(one.carry_out(effect))
        await inside.wait()
        assert await one.carry_out(again) is None
        go_on.set()
        assert isinstance(await first, Delivered | Told)
        assert await one.carry_out(again) is not None, "done, and free again"


async def test_a_delivery_does_not_hold_up_a_notice_or_another_transaction() -> None:
    blobs, result = await staged()
    other = Result({"a": [b"x"]}, name="T2")
    await other.stage_all(blobs)
    inside = asyncio.Event()

    async def held(what: str) -> None:
        if what.startswith("before read T1"):
            inside.set()
            await asyncio.Event().wait()

    one = courier(blobs, Posted(), held)
    first = asyncio.create_task(one.carry_out(result.completed()))
    await inside.wait()
    assert isinstance(await one.carry_out(GAP), Told)
    assert isinstance(await one.carry_out(other.completed()), Delivered)
    first.cancel()


# --- keeping alive


async def test_an_open_transaction_is_kept_alive() -> None:
    blobs, result = await staged()
    answer = await courier(blobs, Posted()).carry_out(ALIVE)
    assert isinstance(answer, Told)
    assert answer.effect == "e-alive"
    assert KEEP_ALIVE in blobs._staged[result.part("a")]


async def test_a_closed_transaction_is_not_kept_alive() -> None:
    blobs, result = await staged()
    one = courier(blobs, Posted())
    await deliver(one, result.completed())
    await result.stage(blobs, "a", 1)
    assert isinstance(await one.carry_out(ALIVE), Told)
    assert KEEP_ALIVE not in blobs._staged[result.part("a")]
