"""What a transaction's facts come to, told by another, simpler program: the first fact of an ordinal is what counts.

It reads the log and nothing else, and shares no code with the rules: a dictionary from ordinals to what was first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bridge.contract.events import Command, HeaderReceived, PayloadsStaged, Staged
from streams.record import Record
from tests.sim.world import EPOCH

UNSEEN: Final = "?"
"""What an ordinal is in a run of which only storage tells."""


@dataclass
class Told:
    """Of one transaction, as far as the log goes."""

    created_s: float
    """Of its first record, in seconds of its partition's clock."""
    offset: int
    header: HeaderReceived | None = None
    totals: dict[str, int] = field(default_factory=dict)
    first: dict[tuple[str, int], str] = field(default_factory=dict)
    """Series, ordinal -> CRC-64 in hex of what came first; empty for an empty payload."""
    since: dict[tuple[str, int], int] = field(default_factory=dict)
    """Series, ordinal -> offset of that fact."""
    contradictions: set[str] = field(default_factory=set)
    """Codes."""
    commands: set[str] = field(default_factory=set)
    complete_s: float | None = None
    """When the last of it came."""

    @property
    def listed(self) -> set[str]:
        """Series of the header."""
        return {spec.type for spec in self.header.header.series} if self.header else set()

    @property
    def complete(self) -> bool:
        """Everything that the header lists is there."""
        return self.header is not None and all(
            (total := self.totals.get(series)) is not None
            and all((series, ordinal) in self.first for ordinal in range(1, total + 1))
            for series in self.listed
        )

    def hear(self, said: object, record: Record) -> None:
        """One more fact."""
        if isinstance(said, HeaderReceived):
            self._header(said)
        elif isinstance(said, PayloadsStaged):
            for staged in said.staged:
                self._staged(staged, record.offset)
        elif isinstance(said, Command):
            self.commands.add(said.action)
        if self.complete_s is None and self.complete:
            self.complete_s = (record.at - EPOCH).total_seconds()

    @property
    def unseen(self) -> bool:
        """There are ordinals of which only storage has told."""
        return UNSEEN in self.first.values()

    def guess(self, contents: dict[tuple[str | None, int], str]) -> None:
        """What those ordinals are of which only storage has told, as far as nobody contradicts."""
        for at, known in self.first.items():
            if known == UNSEEN:
                self.first[at] = contents.get(at, known)

    def _header(self, said: HeaderReceived) -> None:
        if self.header is None:
            self.header = said
            for spec in said.header.series:
                if (
                    spec.total_count is not None
                    and self.totals.setdefault(spec.type, spec.total_count) != spec.total_count
                ):
                    self.contradictions.add("conflicting-total-count")
            if {series for series, _ in self.first} - self.listed:
                self.contradictions.add("unknown-series")
        if said.conflicting_digest is not None or said.digest != self.header.digest:
            self.contradictions.add("conflicting-header")

    def _staged(self, staged: Staged, offset: int) -> None:
        series = staged.series
        if self.header is not None and series not in self.listed:
            self.contradictions.add("unknown-series")
        if self.totals.get(series, staged.total_count) != staged.total_count:
            self.contradictions.add("conflicting-total-count")
            return
        if staged.found:
            self._found(staged)
            return
        said = {
            (series, staged.first + place): crc64 if staged.sizes[place] else ""
            for place, crc64 in enumerate(staged.crc64s)
        }
        if any(self.first.get(at, crc64) not in (crc64, UNSEEN) for at, crc64 in said.items()):
            self.contradictions.add("conflicting-payload")
            return  # a block is committed as a whole, so a run loses as a whole
        self.totals[series] = staged.total_count
        for at, crc64 in said.items():
            if at not in self.first:
                self.first[at], self.since[at] = crc64, offset

    def _found(self, staged: Staged) -> None:
        """A run that storage tells of counts where nothing is known of its ordinals."""
        at = [(staged.series, ordinal) for ordinal in range(staged.first, staged.first + staged.count)]
        if not any(each in self.first for each in at):
            self.totals[staged.series] = staged.total_count
            self.first.update(dict.fromkeys(at, UNSEEN))
