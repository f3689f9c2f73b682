"""A whole installation in memory: storage, what a tracker knows, and a delivery; Kafka may be lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from bridge.checksums import crc64, hex16
from bridge.contract.events import (
    Delivered,
    PayloadsStaged,
    Staged,
    TransactionEvent,
    decode,
    encode,
)
from bridge.contract.inbound import HeaderMessage
from bridge.header_record import keep_header
from bridge.layout import BlockId, part_name, part_of
from bridge.memory_blobs import MemoryBlobs
from streams import queries
from streams.fsck import Fsck, Limits, Report
from tables.due import due
from tables.effects import Deliver
from tables.projection import view
from tables.rules import Fact, advance, opened
from tables.transaction import FINAL, Transaction
from tests.support.deliveries import assert_bytes, courier, outcome_of
from tests.support.posted import Posted
from tests.support.result import Result

ROWS_IN_PAGE = 3


class Installation:
    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.posted = Posted()
        self.known: dict[str, Transaction] = {}
        self.events = 0
        self.later = timedelta()
        """How much later than now it is for a fsck."""
        self.meanwhile: Any = None
        """What happens in the pause of a second look."""

    # The trackers

    async def publish(self, event: TransactionEvent) -> None:
        read = decode(encode(event))
        assert isinstance(read, TransactionEvent)
        self.events += 1
        now = datetime.now(UTC)
        for fact in read.staged if isinstance(read, PayloadsStaged) else [read]:
            before = self.known.get(read.transaction) or opened(read.transaction, now)
            self.known[read.transaction] = advance(before, fact, now)

    async def transaction(self, transaction: str) -> queries.Row | None:
        known = self.known.get(transaction)
        return msgspec.json.decode(msgspec.json.encode(view(known))) if known else None

    async def page(self, after: str | None) -> tuple[list[queries.Row], str | None]:
        names = sorted(name for name in self.known if after is None or name > after)
        rows = [queries.summary(view(self.known[name])) for name in names[:ROWS_IN_PAGE]]
        return rows, names[ROWS_IN_PAGE - 1] if len(names) > ROWS_IN_PAGE else None

    def lose_kafka(self) -> None:
        self.known.clear()

    # Producers and bridges

    async def header(self, result: Result) -> None:
        said = result.header
        message = HeaderMessage(result.name, said.header, said.digest, said.reply_to, said.trace)
        await self.publish(await keep_header(self.blobs, message, said.received))

    async def payloads(self, result: Result, series: str, ordinals: Collection[int], *, told: bool = True) -> None:
        for ordinal in ordinals:
            fact = await result.stage(self.blobs, series, ordinal)
            if told:
                await self.publish(PayloadsStaged(result.name, (fact,), datetime.now(UTC)))

    async def run(
        self, result: Result, series: str, first: int, count: int, *, bodies: Sequence[bytes] = (), told: bool = True
    ) -> None:
        """Payloads in one block, with their own bytes or others."""
        mine = list(bodies) or result.series[series][first - 1 : first - 1 + count]
        whole, total = b"".join(mine), len(result.series[series])
        block = BlockId(total, first, count, 0, 1, crc64([whole]))
        await self.blobs.stage_block(part_name(result.name, series, part_of(first, total)), block, [whole])
        if told:
            crc64s = tuple(hex16(crc64([body])) for body in mine)
            fact = Staged(series, first, count, total, tuple(map(len, mine)), crc64s, (hex16(block.crc64),))
            await self.publish(PayloadsStaged(result.name, (fact,), datetime.now(UTC)))

    async def all_of(self, result: Result) -> None:
        await self.header(result)
        for series, payloads in result.series.items():
            await self.payloads(result, series, range(1, len(payloads) + 1))

    # The delivery

    async def deliver(self, transaction: str) -> None:
        """Carry out what is due until the transaction is closed; a second time where blocks have to be named."""
        one = courier(self.blobs, self.posted)
        for _ in range(2):
            later = datetime.now(UTC) + timedelta(minutes=1)
            (effect,) = (each for each in due(self.known[transaction], later) if isinstance(each, Deliver))
            answer = await one.carry_out(effect)
            assert isinstance(answer, Delivered) or answer.problem.code == "blocks-unclear", answer
            await self.publish(answer)
            if self.known[transaction].state in FINAL:
                return
        raise AssertionError(f"{transaction} is not delivered")

    async def closed(self, result: Result, *facts: Fact) -> None:
        """Everything has come, or these facts decide; and it is told."""
        await self.all_of(result)
        for fact in facts:
            self.decide(result.name, fact)
        await self.deliver(result.name)

    def decide(self, transaction: str, fact: Fact) -> None:
        """What time brings."""
        self.known[transaction] = advance(self.known[transaction], fact, datetime.now(UTC))

    async def assert_completes(self, result: Result) -> None:
        await self.deliver(result.name)
        await assert_bytes(self.blobs, result, await outcome_of(self.blobs, result.name))

    # Looking

    async def fsck(self, *, rebuild: bool = False, **limits: Any) -> Report:
        async def pause(_: float) -> None:
            if self.meanwhile is not None:
                await self.meanwhile()

        run = Fsck(
            self.blobs,
            self,
            Limits(**{"grace_s": 0.0} | limits),
            publish=self.publish if rebuild else None,
            now=lambda: datetime.now(UTC) + self.later,
            pause=pause,
        )
        return await run.run()

    async def found(self, **options: Any) -> list[tuple[str, str]]:
        """Kind and transaction of every finding."""
        report = await self.fsck(**options)
        return [(each.kind.value, each.transaction_id) for each in report.findings]

    async def remove(self, name: str) -> None:
        """Somebody deletes a blob."""
        there = await self.blobs.properties(name)
        assert there is not None, f"{name} is not there"
        await self.blobs.delete(name, there.etag)
