"""A series as one bridge after the other stages it, the transaction that hears of it, and a courier for it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from bridge.blobs import Blobs
from bridge.checksums import crc64, hex16
from bridge.contract import events
from bridge.contract.events import Delivered, DeliveryRefused, HeaderReceived, Staged
from bridge.contract.inbound import Header, SeriesSpec
from bridge.contract.outbound import Outcome, SeriesResult
from bridge.layout import EMPTY_MARKER, OUTCOME_BLOB, BlockId, marker_id, part_name, part_of, record_name
from bridge.runs import Interval, is_aligned
from tables import effects
from tables.due import due
from tables.effects import Deliver
from tables.rules import advance, opened
from tables.transaction import State
from tests.support.deliveries import courier
from tests.support.posted import Posted

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
PAUSE = timedelta(seconds=60)
SERIES = "a"
TRIES_MAX = 5


class Assembly:
    """One transaction of one series with `onConflict: keep-first`.

    A payload that is staged by itself is cut into blocks of `cut_bytes`, which a real bridge does in steps of MiB.
    """

    def __init__(
        self, payloads: Mapping[int, bytes], blobs: Blobs, *, transaction: str = "T1", cut_bytes: int = 2
    ) -> None:
        self.payloads = payloads
        self.total_count = len(payloads)
        self.blobs = blobs
        self.now = START
        self._cut_bytes = cut_bytes
        self._courier = courier(blobs, Posted())
        self.transaction = opened(transaction, START)
        header = Header((SeriesSpec(SERIES, self.total_count),), on_conflict="keep-first")
        self.tell(HeaderReceived(transaction, header, "0" * 32, START))

    @property
    def whole(self) -> bytes:
        """What the series must be."""
        return b"".join(self.payloads[ordinal] for ordinal in range(1, self.total_count + 1))

    def tell(self, fact: Staged | HeaderReceived | Delivered | DeliveryRefused) -> None:
        """The tracker hears of it."""
        self.transaction = advance(self.transaction, fact, self.now)

    async def stage(self, first: int, count: int = 1, *, bodies: Sequence[bytes] = (), told: bool = True) -> bool:
        """Stage payloads together, with their own bytes or others; False where they cannot be."""
        bodies = bodies or [self.payloads[ordinal] for ordinal in range(first, first + count)]
        whole = b"".join(bodies)
        if count > 1 and not whole:
            return False
        step = self._cut_bytes if count == 1 else len(whole)
        cuts = [whole[at : at + step] for at in range(0, len(whole), step)] if whole else []
        crc64s = [crc64([cut]) for cut in cuts]
        total = self.total_count
        ids = [BlockId(total, first, count, sub, len(cuts), each) for sub, each in enumerate(crc64s)]
        name = part_name(self.transaction.id, SERIES, part_of(first, total))
        for block, cut in zip(ids or [marker_id(total, first)], cuts or [EMPTY_MARKER], strict=True):
            await self.blobs.stage_block(name, block, [cut])
        if told:
            sizes, of_each = tuple(map(len, bodies)), tuple(hex16(crc64([body])) for body in bodies)
            self.tell(Staged(SERIES, first, count, total, sizes, of_each, tuple(map(hex16, crc64s))))
        return True

    def effect(self) -> Deliver:
        """The delivery that is due."""
        (effect,) = (each for each in due(self.transaction, self.now) if isinstance(each, Deliver))
        return effect

    async def deliver(self) -> Delivered | DeliveryRefused:
        """One try: the effect and its answer go as the records that they are."""
        self.now += PAUSE
        answer = await self._courier.carry_out(effects.decode(effects.encode(self.effect())))
        read = events.decode(events.encode(answer))
        assert isinstance(read, Delivered | DeliveryRefused)
        self.tell(read)
        return read

    async def result(self) -> bytes:
        """The series, delivered, which takes a second try where blocks are unclear."""
        for _ in range(TRIES_MAX):
            answer = await self.deliver()
            if isinstance(answer, Delivered):
                break
            assert answer.problem.code == "blocks-unclear", answer.problem
        return await self.stored()

    async def stored(self) -> bytes:
        """The series as it is in storage and as the outcome says."""
        assert self.transaction.state is State.COMPLETED
        (series,) = await self.outcome()
        found = b""
        for part in series.parts:
            name = part.uri[part.uri.index(f"{self.transaction.id}/") :]
            body = b"".join([chunk async for chunk in self.blobs.stream(name, part.etag)])
            assert (part.bytes, part.crc64) == (len(body), hex16(crc64([body]))), "as nobody has read them before"
            found += body
        assert series.bytes == len(found)
        return found

    async def outcome(self) -> tuple[SeriesResult, ...]:
        """What the outcome document lists."""
        content = await self.blobs.read(record_name(self.transaction.id, OUTCOME_BLOB))
        assert content is not None
        return msgspec.json.decode(content.body, type=Outcome).series

    def interval(self, chance: random.Random, counts: Sequence[int] = (1, 1, 2, 4, 8)) -> Interval:
        """Any that the series has."""
        while True:
            count = chance.choice(counts)
            first = chance.randrange(0, self.total_count) // count * count + 1
            if first + count - 1 <= self.total_count:
                assert is_aligned(first, count)
                return Interval(first, count)
