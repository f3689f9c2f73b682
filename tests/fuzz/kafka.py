"""What comes from Kafka: events, effects, and the rows of both tables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any, Final

from bridge.contract import events
from bridge.contract.events import AnyEvent, Tick, Watermark
from bridge.contract.inbound import is_transaction_id
from bridge.memory_blobs import MemoryBlobs
from bridge.unreadable import Unreadable
from streams.assemble import Assembler
from streams.courier import Courier
from streams.parking import Origin, park
from streams.post import Post
from streams.record import Record
from streams.settings import DeliverySettings, TrackerSettings
from streams.topics import RECORD_MAX_BYTES
from tables import effects
from tables.receipts import key, row
from tests.fuzz.target import Target, says_why
from tests.golden import release_0_1_0
from tests.golden.release_0_1_0 import MOMENT
from tests.support.posted import Posted

PARTITIONS: Final = 1
DAYS: Final = (0, 1, 3, 60)
"""When the tracker's clock ticks behind what was read."""
SPLIT: Final = b"\n"
"""Between the records of one input; no encoder of ours writes one."""

EVENTS: Final[tuple[AnyEvent, ...]] = tuple(release_0_1_0.EVENTS.values())


class Host:
    """A tracker that owns the only partition, with dictionaries for tables and nothing behind it."""

    def __init__(self, rows: dict[str, Any] | None = None, shown: dict[str, Any] | None = None) -> None:
        self.rows, self.shown = rows or {}, shown or {}
        self.parked: list[str] = []
        settings = _tracker_settings()
        self.assembler = Assembler(self.rows, self.shown, self, lambda: {0}, settings)
        self._offset = 0

    def deliver(self, effect: effects.Effect) -> None:
        assert effects.decode(effects.encode(effect)) == effect, "what it asks for cannot be read"

    def park(self, record: Record, reason: str) -> None:
        self.parked.append(reason)
        park(_Parked(), Origin("brh.events", record.partition, record.offset), record.key, record.value, reason)

    def take(self, value: bytes, days: float = 0) -> None:
        self._offset += 1
        self.assembler.take(Record(0, self._offset, MOMENT + timedelta(days=days), b"T1", value))

    def days_pass(self) -> None:
        """A bridge keeps up and the clock ticks, and everything that time can bring comes."""
        for days in DAYS:
            self.take(events.encode(Watermark("b9", MOMENT + timedelta(days=days))), days)
            self.take(events.encode(Tick(MOMENT)), days)


class _Parked:
    """The topic of parked records: it takes what Kafka takes."""

    def send_soon(self, *, key: bytes | None, value: bytes | None, headers: dict[str, bytes], partition: int) -> None:
        size = len(key or b"") + len(value or b"") + sum(len(name) + len(said) for name, said in headers.items())
        assert size < RECORD_MAX_BYTES, "Kafka would refuse what is put aside"
        assert headers["reason"].endswith(b")"), "no code"


@cache
def _tracker_settings() -> TrackerSettings:
    return TrackerSettings(partitions=PARTITIONS)


def read_events(data: bytes) -> None:
    """Records of one partition, as its owner takes them; then time passes, and another owner takes over."""
    for value in data.split(SPLIT):
        try:
            event = events.decode(value)
        except Unreadable as error:
            says_why(error)
            continue
        assert events.decode(events.encode(event)) == event
    host = Host()
    for value in data.split(SPLIT):
        host.take(value)
    host.days_pass()
    json.dumps(host.shown)
    Host(_stored(host.rows), _stored(host.shown)).days_pass()


def _stored(table: dict[str, Any]) -> dict[str, Any]:
    """As the changelog carries it."""
    stored: dict[str, Any] = json.loads(json.dumps(table))
    return stored


def read_rows(data: bytes) -> None:
    """Both tables, as an owner finds them: `{"rows": {key: row}, "shown": {id: row}}`."""
    try:
        tables = json.loads(data)
    except (ValueError, RecursionError):
        return
    rows, shown = (tables.get(name) if isinstance(tables, dict) else None for name in ("rows", "shown"))
    # Keys are text, and a value is an object, or Faust itself would not have them.
    rows = {key: value for key, value in rows.items() if isinstance(value, dict)} if isinstance(rows, dict) else {}
    shown = {key: value for key, value in shown.items() if isinstance(value, dict)} if isinstance(shown, dict) else {}
    kept = dict(rows)
    host = Host(rows, shown)
    for event in EVENTS:
        host.take(events.encode(event))
    for name in ("T1", "T2"):
        host.assembler.known(name)
    host.days_pass()
    alone = {key.partition("/")[0] for key in kept} & set(host.assembler._owned[0].unreadable)  # type: ignore[index]
    assert all(key in host.rows for key in kept if key.partition("/")[0] in alone), "a row that cannot be read has gone"


def read_effects(data: bytes) -> None:
    """An effect, as a delivery carries it out on a storage where nothing is staged."""
    try:
        effect = effects.decode(data)
    except Unreadable as error:
        says_why(error)
        return
    assert effects.decode(effects.encode(effect)) == effect
    if is_transaction_id(effect.transaction):
        answer = asyncio.run(_carry_out(effect))
        if answer is not None:
            assert events.decode(events.encode(answer)) == answer


async def _carry_out(effect: effects.Effect) -> events.TransactionEvent | None:
    posted: Any = Posted()
    courier = Courier(MemoryBlobs(), Post(posted, posted.publish_outcome, "lab"), _delivery_settings())
    return await courier.carry_out(effect)


@cache
def _delivery_settings() -> DeliverySettings:
    return DeliverySettings(instance="lab")


def _events() -> Iterator[bytes]:
    encoded = {name: events.encode(event) for name, event in release_0_1_0.EVENTS.items()}
    yield from encoded.values()
    for names in (
        ("HeaderReceived", "PayloadsStaged", "HeaderReceived-conflict"),
        ("PayloadsStaged", "HeaderReceived-least", "Command-extend", "DeliveryRefused"),
        ("HeaderReceived", "Command-cancel", "Delivered-failed", "PayloadsStaged"),
    ):
        yield SPLIT.join(encoded[name] for name in names)


def _rows() -> Iterator[bytes]:
    facts: list[Any] = list(release_0_1_0.KEPT.values())
    rows = {key("T1", fact): row(fact, at, MOMENT, 0) for at, fact in enumerate(facts)}
    host = Host()
    for name in ("HeaderReceived", "PayloadsStaged", "Delivered"):
        host.take(events.encode(release_0_1_0.EVENTS[name]))
        yield json.dumps({"rows": host.rows, "shown": host.shown}).encode()
    yield json.dumps({"rows": rows, "shown": host.shown}).encode()


TARGETS: Final = (
    Target(
        "events", read_events, _events, json=True, factor=400, every=211,
        tokens=(SPLIT, b'"v":2', b'"PayloadsStaged"', b'"first":', b'"count":256', b'"runBytes":1'),
    ),
    Target(
        "rows", read_rows, _rows, json=True, factor=400, every=397,
        tokens=(b'"v":2', b'"kind":"staged"', b'"offset":'),
    ),
    Target(
        "effects", read_effects, lambda: map(effects.encode, release_0_1_0.EFFECTS.values()), json=True, factor=400,
        tokens=(b'"v":2', b'"tiles":"', b'"named":[', b'"partial":true'),
    ),
)  # fmt: skip
