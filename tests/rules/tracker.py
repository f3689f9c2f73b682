"""The tracker's host, with dictionaries for tables and a list for Kafka."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from playbook import START, T1, core, header, payload, seconds, told

from bridge.contract import events
from bridge.contract.events import AnyEvent, PayloadsStaged, Staged, Tick, Watermark
from streams.assemble import Assembler
from streams.record import Record
from streams.settings import TrackerSettings
from streams.topics import Topics
from tables.effects import Announce, Deliver, Effect
from tables.policies import Policies
from tables.transaction import State, Transaction

PARTITIONS = 8
MINE = Topics("brh", PARTITIONS).partition_of(T1)
OTHERS = (MINE + 1) % PARTITIONS
SILENCE_S = 10.0
RETENTION_S = 14 * 86_400.0


class Outbox:
    def __init__(self) -> None:
        self.sent: list[Effect] = []
        self.parked: list[tuple[int, str]] = []

    @property
    def delivered(self) -> list[Deliver]:
        return [effect for effect in self.sent if isinstance(effect, Deliver)]

    def deliver(self, effect: Effect) -> None:
        self.sent.append(effect)

    def park(self, record: Record, reason: str) -> None:
        self.parked.append((record.offset, reason))


class WriteOnce(dict[str, Any]):
    """The table of facts: no row is ever written a second time."""

    def __setitem__(self, key: str, value: Any) -> None:
        assert key not in self, f"row {key} written twice"
        super().__setitem__(key, value)


class Written(dict[str, Any]):
    """The table of readable rows, which tells how often it was written."""

    writes = 0

    def __setitem__(self, key: str, value: Any) -> None:
        self.writes += 1
        super().__setitem__(key, value)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


class Tracker:
    """One partition's log, the tables, and a worker that may crash at any time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.offsets = count()
        self.rows: dict[str, Any] = WriteOnce()
        self.shown = Written()
        self.owned = {MINE}
        self.policies = Policies()
        self.open_max = 1_000
        self.waiting: list[Record] = []
        """Records that nobody has read, because no tracker runs."""
        self.start()

    def start(self) -> None:
        """A new process: the tables are replayed, what waits is read, everything else is gone."""
        settings = TrackerSettings(
            partitions=PARTITIONS,
            redrive_interval_s=15,
            row_interval_s=1,
            bridge_silence_s=SILENCE_S,
            dedupe_retention_s=RETENTION_S,
            open_max=self.open_max,
        )
        self.outbox = Outbox()
        self.assembler = Assembler(self.rows, self.shown, self.outbox, lambda: self.owned, settings, self.policies)
        self.runs = True
        for record in self.waiting:
            self.assembler.take(record)
        self.waiting = []

    def stop(self) -> None:
        """Nobody owns the partition; the others go on."""
        self.runs = False

    def record(self, value: bytes | None, partition: int = MINE) -> Record:
        return Record(partition, next(self.offsets), self.now(), T1.encode(), value)

    def tell(self, *facts: Staged | AnyEvent, partition: int = MINE) -> Record:
        """One event; payloads go together, as a bridge reports them."""
        staged = tuple(fact for fact in facts if isinstance(fact, Staged))
        event = PayloadsStaged(T1, staged, START) if staged else facts[0]
        assert not isinstance(event, Staged)
        record = self.record(events.encode(event), partition)
        if self.runs:
            self.assembler.take(record)
        else:
            self.waiting.append(record)
        return record

    def now(self) -> datetime:
        return START + seconds(self.clock.now_s - 1_000)

    def passes(self, **units: float) -> None:
        """Time passes in which a bridge keeps up and the tracker's clock ticks."""
        self.stalled(**units)
        self.bridge_says(self.now())
        self.tick()

    def stalled(self, **units: float) -> None:
        """Time passes, and nothing happens."""
        self.clock.now_s += timedelta(**units).total_seconds()

    def bridge_says(self, reached: datetime | None = None, *, bridge: str = "b1", gone: bool = False) -> Record:
        return self.tell(Watermark(bridge, reached, gone))

    def tick(self) -> Record:
        return self.tell(Tick(START))

    def index(self) -> dict[str, Transaction]:
        owned = self.assembler._owned
        return owned[MINE].transactions if owned and MINE in owned else {}

    def asked(self) -> int:
        """How often a delivery was asked for."""
        return len(self.outbox.delivered)

    def say(self) -> None:
        """The delivery answers everything that is no delivery."""
        for effect in self.outbox.sent:
            if not isinstance(effect, Deliver):
                self.tell(told(effect.id))

    def announced(self) -> list[tuple[str, int]]:
        """Kind and running number of everything that was asked to be announced, but that it was accepted."""
        notices = [effect for effect in self.outbox.sent if isinstance(effect, Announce)]
        return [(notice.kind, notice.sequence) for notice in notices if notice.kind != "accepted"]

    def closed(self) -> set[str]:
        owned = self.assembler._owned
        return set(owned[MINE].closed) if owned and MINE in owned else set()

    def counted(self) -> dict[str, int]:
        """Transactions by state."""
        partition = self.assembler.partition(MINE)
        return {state: count for state, count in partition.tally().states.items() if count} if partition else {}


def plain(transaction: Transaction) -> Transaction:
    """Without what is counted, timed, or said by facts that are not kept."""
    counted = ("updated", "duplicates", "late", "contradictions", "refusals", "refused", "recovered", "recoveries")
    said = (*counted, "problem", "problems")
    return core(transaction, but=said)


def sending(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=1))
    tracker.tell(header(a=1))
    assert tracker.index()[T1].state is State.SENDING_COMPLETION
