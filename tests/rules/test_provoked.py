"""What goes wrong is seen: for each alert the situation that it is for, as far as one process can be brought into it.

The code that runs is the product's. What its metrics stand at goes to promtool with our rules, which says what fires:
that alert, and no other, so the trouble moved what the alert looks at, and far enough.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from subprocess import run
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from pamqp import commands
from playbook import header, payload
from test_measured import App, looking
from test_storage_counted import proxy, stage  # noqa: F401  # a fixture
from tracker import MINE, SILENCE_S, Clock, Tracker, sending

from bridge import hold, metrics
from bridge.blobs import BlobsError, BlobsUnavailable
from bridge.hold import FAILURES_MAX, Breaker
from bridge.lane import Lane
from bridge.lanes import Lanes
from bridge.memory_blobs import MemoryBlobs
from bridge.registries import Bounded
from bridge.service import Bridge
from bridge.settings import BridgeSettings
from streams import courier as courier_module
from streams import measured
from streams.hardened import EXIT_AGENT, EXIT_FENCE
from streams.hardened.ends import count_ends
from streams.parking import Origin, park
from streams.record import Record
from tests.support.alerts import ALERTS, Watch, forget
from tests.support.counted import counts, gauged
from tests.support.deliveries import courier, deliver
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.posted import Posted
from tests.support.result import Result
from tests.support.scripted_broker import Inbox, ScriptedBroker, eventually, message

MIN_S, H_S = 60.0, 3_600.0


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Nothing has happened yet."""
    monkeypatch.setattr(metrics, "transaction_type", Bounded(metrics.TYPES_MAX))
    monkeypatch.setattr(hold, "PAUSE_FIRST_S", 0.0)
    forget()
    return Watch(tmp_path)


# --- deliveries


class Away(MemoryBlobs):
    """Storage that does not answer while it is away."""

    away = False

    async def properties(self, name: str) -> Any:
        if self.away:
            raise BlobsUnavailable("it does not answer")
        return await super().properties(name)


async def completed(blobs: MemoryBlobs, name: str = "T1") -> Any:
    result = Result({"a": [b"a1"]}, name=name)
    await result.stage_all(blobs)
    return result.completed()


async def test_deliveries_are_refused(watch: Watch) -> None:
    blobs = Away()
    one, effect = courier(blobs, Posted()), await completed(blobs)
    watch.minute()
    blobs.away = True
    for _ in range(51):
        await one.carry_out(effect)
    watch.minute()
    watch.assert_fires("BrhDeliveriesRefused")


async def test_payloads_are_in_no_result(watch: Watch) -> None:
    one = courier(MemoryBlobs(), Posted())
    watch.minute()
    for number in range(6):
        await deliver(one, Result({"a": [b"x"]}, name=f"N{number}").abandoned())
    watch.minute()
    watch.assert_fires("BrhOrphans")


class Later(datetime):
    """Two minutes later."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(minutes=2)


async def test_an_outcome_is_told_late(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, unconfirmed = MemoryBlobs(), Posted()
    await deliver(one := courier(blobs, Posted()), await completed(blobs))
    watch.minute()
    unconfirmed.confirms = False
    effects = [await completed(blobs, f"N{number}") for number in range(10)]
    for effect in effects:
        await courier(blobs, unconfirmed).carry_out(effect)
    monkeypatch.setattr(courier_module, "datetime", Later)
    for effect in effects:
        await deliver(one, effect)
    watch.minute()
    watch.assert_fires("BrhToldLate")


async def test_nothing_is_delivered(watch: Watch, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Away()
    one, effect = courier(blobs, Posted()), await completed(blobs)
    blobs.away = True
    watch.minute()
    sending(tracker)
    await one.carry_out(effect)
    look(tracker, monkeypatch, MIN_S)
    watch.minute()
    watch.assert_fires("BrhNothingDelivered")


async def test_one_is_not_delivered_and_others_are(
    watch: Watch, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = MemoryBlobs()
    one = courier(blobs, Posted())
    sending(tracker)
    watch.minute()
    for minute in range(60):
        await deliver(one, await completed(blobs, f"N{minute}"))
        look(tracker, monkeypatch, minute * MIN_S)
        watch.minute()
    watch.assert_fires("BrhTransactionStuck", after_min=1)


# --- workers


def look(tracker: Tracker, monkeypatch: pytest.MonkeyPatch, after_s: float, app: App | None = None) -> None:
    """Look at a tracker, so long after the moment at which it is."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return tracker.now() + timedelta(seconds=after_s)

    monkeypatch.setattr(measured, "datetime", Then)
    looking(tracker, app or App({MINE: 0}))()


def test_a_transaction_is_open_for_long(watch: Watch, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker.tell(header(a=2))
    look(tracker, monkeypatch, H_S)
    watch.minute()
    look(tracker, monkeypatch, 26 * H_S)
    watch.minute()
    watch.assert_fires("BrhTransactionOld")


def test_bridges_say_nothing_any_more(watch: Watch, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker.bridge_says(tracker.now())
    tracker.passes(seconds=SILENCE_S + 1)
    look(tracker, monkeypatch, 2.0)
    watch.minute()
    look(tracker, monkeypatch, 6 * MIN_S)
    watch.minute()
    watch.assert_fires("BrhWatermarkStalled")


def test_a_tracker_does_not_keep_up(watch: Watch, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    look(tracker, monkeypatch, 0.0)
    watch.minute()
    look(tracker, monkeypatch, 0.0, App({MINE: 20_001}))
    watch.minute()
    watch.assert_fires("BrhPartitionLagging")


def test_a_recovery_does_not_end(watch: Watch, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App({MINE: 0})
    look(tracker, monkeypatch, 0.0, app)
    watch.minute()
    app.in_recovery = True
    look(tracker, monkeypatch, 0.0, app)
    watch.minute()
    watch.assert_fires("BrhRecoveryLong")


def test_messages_contradict_each_other(watch: Watch, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    trackers = [Tracker(clock) for _ in range(6)]
    for tracker in trackers:
        tracker.tell(header(a=2))
    look(trackers[0], monkeypatch, 0.0)
    watch.minute()
    for tracker in trackers:
        tracker.tell(payload("a", 1, of=2))
        tracker.tell(payload("a", 1, of=2, body="y"))
    watch.minute()
    watch.assert_fires("BrhConflicts")


class Kept:
    """A topic of Kafka."""

    def __init__(self) -> None:
        self.values: list[bytes | None] = []

    def send_soon(self, *, value: bytes | None, **_: Any) -> None:
        self.values.append(value)


def test_a_record_cannot_be_read(watch: Watch, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    parked = Kept()

    def put_aside(record: Record, reason: str) -> None:
        park(parked, Origin("brh.events", record.partition, record.offset), record.key, record.value, reason)

    monkeypatch.setattr(tracker.outbox, "park", put_aside)
    watch.minute()
    tracker.assembler.take(tracker.record(b"{"))
    watch.minute()
    assert parked.values == [b"{"]
    watch.assert_fires("BrhRecordsParked")


ENDING = """
import sys
from pathlib import Path
from streams.hardened.ends import count_ends, end_process
count_ends(Path(sys.argv[1]))
end_process(int(sys.argv[2]), "the test says so")
"""


@pytest.mark.parametrize(
    ("code", "times", "alert"), [(EXIT_FENCE, 1, "BrhFenceTripped"), (EXIT_AGENT, 3, "BrhWorkerEnds")]
)
def test_a_worker_ends_itself(watch: Watch, tmp_path: Path, code: int, times: int, alert: str) -> None:
    file = tmp_path / "ends"
    count_ends(file)
    watch.minute()
    for _ in range(times):
        assert run([sys.executable, "-c", ENDING, file, str(code)], timeout=60, capture_output=True).returncode == code
        forget()  # as does the process that comes after it
        count_ends(file)
        watch.minute()
    watch.assert_fires(alert)


# --- bridges


async def test_storage_turns_away(watch: Watch, proxy: FaultProxy) -> None:  # noqa: F811
    await stage(proxy)
    watch.minute()
    for minute in range(30):
        proxy.plan("PUT", "comp=block&", (Fault.THROTTLED, Fault.UNAVAILABLE)[minute % 2])
        with pytest.raises(BlobsError):
            await stage(proxy)
        for _ in range(4):
            await stage(proxy)
        watch.minute()
    watch.assert_fires("BrhStorageThrottled")


async def test_storage_fails(watch: Watch) -> None:
    storage = Breaker("blob storage", BlobsUnavailable)

    async def fail() -> None:
        raise BlobsUnavailable("it does not answer")

    watch.minute()
    for _ in range(FAILURES_MAX):
        with pytest.raises(BlobsUnavailable):
            await storage.ask(fail)
    watch.minute()
    watch.assert_fires("BrhSystemSick")


class Consuming(NamedTuple):
    """A bridge that takes messages from one queue, and never settles one."""

    broker: ScriptedBroker
    bridge: Bridge
    lanes: Lanes
    inbox: Inbox

    @property
    def lane(self) -> Lane:
        (lane,) = self.lanes.open
        return lane


@pytest_asyncio.fixture
async def consuming() -> AsyncIterator[Consuming]:
    async with ScriptedBroker() as broker:
        inbox, bridge = Inbox(), Bridge(BridgeSettings())
        lanes = Lanes(
            broker.address("heartbeat=0"),
            "brh.payloads",
            count=1,
            prefetch=1,
            accept=inbox.accept,
            name="us",
            storage=Breaker("storage", BlobsUnavailable),
            crash=lambda error: pytest.fail(repr(error)),
        )
        bridge._lanes = [lanes]
        await lanes.start()
        yield Consuming(broker, bridge, lanes, inbox)
        await lanes.stop()


async def test_messages_come_faster_than_they_are_taken(watch: Watch, consuming: Consuming) -> None:
    for minute in range(60):
        waiting = 9_500 + 100 * minute
        consuming.broker.replies[commands.Queue.Declare] = commands.Queue.DeclareOk("brh.payloads", waiting, 1)
        await consuming.lane.look()
        consuming.bridge._look()
        watch.minute()
    watch.assert_fires("BrhQueueGrowing")


async def test_a_message_is_held_for_long(watch: Watch, consuming: Consuming, monkeypatch: pytest.MonkeyPatch) -> None:
    consuming.broker.send(*message(1, b"content"))
    await eventually(lambda: consuming.inbox.has(1))
    consuming.bridge._look()
    watch.minute()
    ages = consuming.lane._ages
    oldest_s = ages.oldest_s
    monkeypatch.setattr(ages, "oldest_s", lambda oldest, now_s: oldest_s(oldest, now_s + 22 * MIN_S))
    consuming.bridge._look()
    watch.minute()
    watch.assert_fires("BrhMessageHeld")


async def test_a_lane_that_is_lost_is_counted_and_its_queue_is_not_known(consuming: Consuming) -> None:
    """No alert looks at it: a lane is opened again within seconds."""
    consuming.broker.replies[commands.Queue.Declare] = commands.Queue.DeclareOk("brh.payloads", 7, 1)
    await consuming.lane.look()
    assert gauged(metrics.QUEUE_MESSAGES)["brh.payloads",] == 7
    with counts(metrics.LANES_CLOSED, 1, queue="brh.payloads"):
        consuming.broker.cut()
        await eventually(lambda: not consuming.lanes.open)
        consuming.bridge._look()
        assert gauged(metrics.LANES_OPEN)["brh.payloads",] == 0
        assert ("brh.payloads",) not in gauged(metrics.QUEUE_MESSAGES)
        await eventually(lambda: consuming.lanes.open)


def test_every_alert_was_provoked() -> None:
    """`BrhProcessDown` looks at what only Prometheus knows: tests/system/test_prometheus.py has processes end."""
    assert {*re.findall(r'"(Brh\w+)"', Path(__file__).read_text())} | {"BrhProcessDown"} == ALERTS
