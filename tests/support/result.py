"""A transaction whose payloads are really staged, and the deliveries that its tracker would ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from bridge.blobs import Blobs
from bridge.checksums import crc64, hex16
from bridge.contract.events import HeaderReceived, Staged
from bridge.contract.inbound import Header, SeriesSpec, Trace
from bridge.contract.outbound import Problem
from bridge.layout import EMPTY_MARKER, BlockId, marker_id, part_name, part_of
from tables import effects
from tables.decisions import Expired
from tables.due import due
from tables.effects import Deliver
from tables.rules import Fact, advance, opened
from tables.transaction import Transaction

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Result:
    """One transaction; nothing of it is staged at first."""

    def __init__(
        self,
        series: Mapping[str, list[bytes]],
        *,
        name: str = "T1",
        announced: Collection[str] | None = None,
        on_conflict: Any = "keep-first",
        reply_to: str | None = None,
    ) -> None:
        """`series`: the payloads of each, in order. `announced`: the series in the header; None for all of them."""
        self.name = name
        self.series = dict(series)
        specs = tuple(
            SeriesSpec(each, len(payloads), "text/x")
            for each, payloads in series.items()
            if announced is None or each in announced
        )
        self.header = HeaderReceived(
            name,
            Header(specs, "valuation", on_conflict=on_conflict, labels={"book": "EUR"}),
            "d-1",
            START,
            reply_to,
            Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        )

    def fact(self, series: str, ordinal: int) -> Staged:
        body = self.series[series][ordinal - 1]
        crc = hex16(crc64([body]))
        return Staged(series, ordinal, 1, len(self.series[series]), (len(body),), (crc,), (crc,) if body else ())

    def part(self, series: str, ordinal: int = 1) -> str:
        """Name of the blob that an ordinal is in."""
        return part_name(self.name, series, part_of(ordinal, len(self.series[series])))

    async def stage(self, blobs: Blobs, series: str, ordinal: int) -> Staged:
        body = self.series[series][ordinal - 1]
        total = len(self.series[series])
        block = BlockId(total, ordinal, 1, 0, 1, crc64([body])) if body else marker_id(total, ordinal)
        await blobs.stage_block(self.part(series, ordinal), block, [body or EMPTY_MARKER])
        return self.fact(series, ordinal)

    async def stage_all(self, blobs: Blobs) -> None:
        for series, payloads in self.series.items():
            for ordinal in range(1, len(payloads) + 1):
                await self.stage(blobs, series, ordinal)

    def facts(self, missing: Mapping[str, Collection[int]] | None = None) -> list[Staged]:
        """Of every payload but those that are missing."""
        return [
            self.fact(series, ordinal)
            for series, payloads in self.series.items()
            for ordinal in range(1, len(payloads) + 1)
            if ordinal not in (missing or {}).get(series, ())
        ]

    def told(self, *facts: Fact, header: bool = True) -> Transaction:
        """What a tracker knows that has heard of the header and these facts."""
        transaction = opened(self.name, START)
        for fact in [self.header, *facts] if header else facts:
            transaction = advance(transaction, fact, START)
        return transaction

    def completed(self, *, header_last: bool = False) -> Deliver:
        """Everything has come."""
        if header_last:
            return delivery(self.told(*self.facts(), self.header, header=False))
        return delivery(self.told(*self.facts()))

    def partial(self, missing: Mapping[str, Collection[int]]) -> Deliver:
        """The time is up, and what has come is the result."""
        return delivery(self.told(*self.facts(missing), Expired("Completed", None, partial=True)))

    def failed(self, missing: Mapping[str, Collection[int]] | None = None) -> Deliver:
        """The time is up."""
        return delivery(self.told(*self.facts(missing), Expired("Failed", problem("completion-timeout"))))

    def abandoned(self, *, header: bool = False) -> Deliver:
        """Nothing more came, perhaps not even the header."""
        late = Expired("Abandoned", problem("timeout" if header else "no-header"))
        facts = [self.fact(series, ordinal) for series, all_of in self.series.items() for ordinal in (1,) if all_of]
        return delivery(self.told(*facts, late, header=header))


def problem(code: str) -> Problem:
    return Problem(code, "A title", "What happened.", "await", "2026-01-31T12:00:00.000Z")


def delivery(transaction: Transaction) -> Deliver:
    """The delivery that is due, as it comes out of Kafka."""
    (effect,) = [effect for effect in due(transaction, START) if isinstance(effect, Deliver)]
    carried = effects.decode(effects.encode(effect))
    assert isinstance(carried, Deliver)
    return carried
