"""What is counted and timed, and what is not: failures have no duration, and only what was acknowledged has come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aio_pika.exceptions import AMQPError, DeliveryError
from aiokafka.errors import KafkaError
from msgspec.structs import replace
from pamqp.commands import Basic
from pydantic import SecretStr

from bridge import hand as hand_module
from bridge import hold as hold_module
from bridge import metrics
from bridge.blobs import Committed, Exists
from bridge.checksums import crc64
from bridge.contract.events import Delivered, DeliveryRefused, HeaderReceived
from bridge.contract.inbound import Header, PayloadMessage, SeriesSpec, Trace
from bridge.contract.outbound import rfc3339
from bridge.facts import Facts, FactsUnavailable
from bridge.gathering import SMALL
from bridge.inflow import SubBlock
from bridge.memory_blobs import MemoryBlobs
from bridge.notices import Notices, NoticesUnavailable
from bridge.outlets import Outlets
from bridge.payloads import LARGE, PayloadIntake
from bridge.registries import Bounded
from bridge.settings import BridgeSettings, FactSettings
from streams.courier import _count
from streams.outcome import write_outcome
from tests.support.counted import counts, gauged
from tests.support.deliveries import courier, deliver
from tests.support.gathered import FakeIncoming, Gathered
from tests.support.posted import Posted
from tests.support.result import START, Result

ALWAYS = 1 << 30
CONTENT = b"content"
FACT = HeaderReceived("T1", Header((SeriesSpec("a"),)), "d-1", START)


class Answers:
    """A producer, an exchange and a channel that answer so, with an error or with nothing."""

    def __init__(self, answer: Exception | None) -> None:
        self._answer = answer
        self.default_exchange = self

    async def send_and_wait(self, *_: Any, **__: Any) -> None:
        if self._answer is not None:
            raise self._answer

    publish = send_and_wait

    async def get_exchange(self, *_: Any, **__: Any) -> Any:
        return self


class Large:
    """A body of one block."""

    async def __aiter__(self) -> AsyncIterator[SubBlock]:
        yield SubBlock((CONTENT,), len(CONTENT), crc64((CONTENT,)), lambda: None)

    def end(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_module, "LINGER_S", 0.001)
    monkeypatch.setattr(hold_module, "PAUSE_FIRST_S", 0.0)


# --- durations


@pytest.mark.parametrize(("answer", "timed"), [(None, 1), (KafkaError(), 0)])
async def test_a_fact_has_a_duration_when_it_was_acknowledged(answer: Exception | None, timed: int) -> None:
    facts = Facts(FactSettings())
    own, hooked = facts._producer, facts
    hooked._producer = Answers(answer)  # type: ignore[assignment]
    with counts(metrics.FACT_SECONDS, timed), counts(metrics.FACTS_FAILED, 1 - timed):
        try:
            await facts.publish(FACT)
        except FactsUnavailable:
            assert answer is not None
    await own.stop()


@pytest.mark.parametrize(
    ("answer", "timed"), [(None, 1), (DeliveryError(None, Basic.Nack(1)), 0), (AMQPError(), 0), (TimeoutError(), 0)]
)
async def test_a_notice_has_a_duration_when_it_was_confirmed(answer: Exception | None, timed: int) -> None:
    notices = Notices(SecretStr(""), "test")
    notices._channel = Answers(answer)  # type: ignore[assignment]
    (blobs, result), posted = await staged(), Posted()
    await deliver(courier(blobs, posted), result.completed())
    (event, *_) = (event for where, event in posted.sent if where.startswith("transaction."))
    with counts(metrics.NOTICE_SECONDS, timed):
        try:
            await notices.publish(event, "transaction.completed.valuation")
        except NoticesUnavailable:
            assert not timed


@pytest.mark.parametrize(("fails", "timed"), [(0, 1), (2, 1), (ALWAYS, 0)])
async def test_a_batch_has_a_duration_when_it_was_stored(fails: int, timed: int) -> None:
    bridge = Gathered(hold_max_s=0.3)
    bridge.storage_fails = fails
    bridge.take(bridge.lane(), 1, total_count=1)
    with counts(metrics.STAGE_SECONDS, timed, size_class=SMALL):
        await bridge.settle()


@pytest.mark.parametrize(("said", "timed"), [(None, 1), ("0" * 64, 0)])
async def test_a_large_payload_has_a_duration_when_it_is_what_it_should_be(said: str | None, timed: int) -> None:
    bridge, body, lane = Gathered(), Large(), Gathered().lane()
    outlets: Any = Outlets(bridge, bridge, bridge, instance="test", hold_max_s=60)
    intake = PayloadIntake(outlets, bridge.memory, BridgeSettings(), lambda error: None)
    incoming: Any = FakeIncoming(lane)
    message = PayloadMessage("t-1", "a", 1, 1, len(CONTENT), said, Trace())
    with (
        counts(metrics.STAGE_SECONDS, timed, size_class=LARGE),
        counts(metrics.PAYLOADS, timed, size_class=LARGE),
        suppress(AttributeError),  # this lane cannot refuse
    ):
        await intake._large("queue", incoming, message, body)  # type: ignore[arg-type]
    assert lane.acked == [1][:timed]


async def test_blocks_are_in_flight_until_they_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge, seen = Gathered(), []
    store = bridge.blobs.stage_block

    async def look(*args: Any) -> None:
        seen.append(gauged(metrics.BLOCKS_IN_FLIGHT)[()])
        await store(*args)

    monkeypatch.setattr(bridge.blobs, "stage_block", look)
    for transaction in ("t-1", "t-2"):
        bridge.take(bridge.lane(), 1, total_count=1, transaction=transaction)
    await bridge.settle()
    assert sorted(seen) == [1, 2]
    assert gauged(metrics.BLOCKS_IN_FLIGHT) == {(): 0}


# --- payloads


async def test_payloads_of_a_lane_that_was_closed_are_not_counted_because_they_come_again() -> None:
    bridge = Gathered()
    closed, open_ = bridge.lane(), bridge.lane()
    for ordinal in range(1, 31):
        bridge.take(closed if ordinal <= 20 else open_, ordinal, size=100)
    closed.closed = True
    with counts(metrics.PAYLOADS, 10, size_class=SMALL), counts(metrics.PAYLOAD_BYTES, 1_000, size_class=SMALL):
        await bridge.settle()
    bridge.assert_laws()
    assert sorted(open_.acked) == list(range(1, 11))


# --- outcomes


async def staged() -> tuple[MemoryBlobs, Result]:
    blobs, result = MemoryBlobs(), Result({"a": [b"a1"]})
    await result.stage_all(blobs)
    return blobs, result


class LostAnswers(MemoryBlobs):
    """Storage that does what it is asked for twice, because the first answer was lost on its way."""

    async def write_once(self, *args: Any, **options: Any) -> Committed | Exists:
        await super().write_once(*args, **options)
        return await super().write_once(*args, **options)


async def test_an_outcome_that_our_own_earlier_attempt_has_written_is_no_lost_race() -> None:
    with counts(metrics.OWN_CONFLICTS, 1), counts(metrics.RACES_LOST, 0):
        decided = await write_outcome(LostAnswers(), Result({"a": [b"a1"]}).completed(), ())
    assert decided.outcome.outcome == "Completed"


async def test_an_outcome_that_another_has_written_is_a_lost_race() -> None:
    blobs, effect = MemoryBlobs(), Result({"a": [b"a1"]}).completed()
    first = await write_outcome(blobs, effect, ())
    with counts(metrics.OWN_CONFLICTS, 0), counts(metrics.RACES_LOST, 1):
        again = await write_outcome(blobs, effect, (), partial=True)
    assert again == first


@pytest.mark.parametrize("lost", [False, True])
async def test_a_commit_has_a_duration_when_all_parts_are_committed(lost: bool) -> None:
    result = Result({"a": [b"a1"], "b": [b"b1"]})
    blobs = MemoryBlobs()
    if not lost:
        await result.stage_all(blobs)
    effect = result.completed()
    of_type = {"transaction_type": effect.transaction_type}
    with counts(metrics.COMMIT_SECONDS, 0 if lost else 1, **of_type), counts(metrics.TOLD_SECONDS, not lost, **of_type):
        answer = await courier(blobs, Posted()).carry_out(effect)
    assert isinstance(answer, DeliveryRefused if lost else Delivered)


async def test_a_transaction_that_failed_commits_nothing() -> None:
    blobs, result = await staged()
    with counts(metrics.COMMIT_SECONDS, 0):
        await deliver(courier(blobs, Posted()), result.failed())


async def test_transaction_types_that_come_late_share_their_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "transaction_type", Bounded(0))
    blobs, result = await staged()
    of_type = {"transaction_type": metrics.OTHER}
    with counts(metrics.COMMIT_SECONDS, 1, **of_type), counts(metrics.TOLD_SECONDS, 1, **of_type):
        await deliver(courier(blobs, Posted()), result.completed())


async def test_nothing_takes_less_than_no_time_where_clocks_differ() -> None:
    blobs, result = await staged()
    now = datetime.now(UTC)
    outcome = (await write_outcome(blobs, result.completed(), ())).outcome
    created, completed = rfc3339(now + timedelta(hours=2)), rfc3339(now + timedelta(hours=1))
    of_type = {"transaction_type": outcome.transaction_type}
    sums = [each.labels(**of_type)._sum for each in (metrics.DECIDED_SECONDS, metrics.TOLD_SECONDS)]
    before_s = [each.get() for each in sums]
    with counts(metrics.DECIDED_SECONDS, 1, **of_type), counts(metrics.TOLD_SECONDS, 1, **of_type):
        _count(replace(outcome, timestamps=replace(outcome.timestamps, created=created, completed=completed)))
    assert [each.get() for each in sums] == before_s
