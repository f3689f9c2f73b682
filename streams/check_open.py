"""Hold what storage has of a transaction without an outcome against the tracker's row.

A block is staged before its fact, and a header is written before its own. So what the row has must be in storage after
the row was read, and what storage has must be in a row that is read later: one look needs two rows, of which the second
one may be the first where a suspicion is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TypeAlias

from bridge.blobs import Blobs
from bridge.contract.events import HeaderReceived
from bridge.header_record import find_header
from bridge.layout import OUTCOME_BLOB, part_ordinals, record_name
from bridge.unreadable import UNREADABLE
from streams.findings import Finding, Kind, finding
from streams.folders import Folder
from streams.queries import Row
from streams.shown_ordinals import SERIES_SAID_MAX, not_shown, received, said
from streams.stock import Stocked, announced, stock
from tables import ordinals
from tables.ordinals import NONE, Ordinals
from tables.transaction import FINAL, State

Look: TypeAlias = Callable[[Row | None], list[Finding]]
"""What was seen of a transaction: told a row that is read later, it says what is wrong."""


async def check_open(blobs: Blobs, folder: Folder, row: Row | None) -> Look:
    """Look at a transaction without an outcome. Raises BlobsError."""
    transaction = folder.transaction
    found: list[Finding] = []
    if folder.told:
        name = record_name(transaction, OUTCOME_BLOB)
        found.append(finding(Kind.TOLD_WITHOUT_OUTCOME, transaction, f"Its outcome was told, and {name} is not there."))
    if row is not None and row["state"] in FINAL:
        detail = f"The tracker has it in {row['state']}, and {record_name(transaction, OUTCOME_BLOB)} is not there."
        found.append(finding(Kind.OUTCOME_MISSING, transaction, detail))
        return lambda _: found
    try:
        header = await find_header(blobs, transaction)
    except UNREADABLE as error:
        found.append(finding(Kind.RECORD_UNREADABLE, transaction, f"Its header cannot be read: {error}."))
        return lambda _: found
    if header is None and row is not None and row["header"] is not None:
        found.append(finding(Kind.HEADER_MISSING, transaction, "The tracker has its header, and storage has none."))
    ledger = _Ledger(header, row)
    async for part in stock(blobs, transaction, ledger.totals):
        ledger.enter(part)
    return lambda later: [*found, *_known(folder, header, later), *ledger.findings(transaction, later)]


def _known(folder: Folder, header: HeaderReceived | None, later: Row | None) -> Iterator[Finding]:
    if later is None and (header is not None or folder.parts):
        kept = "its header" if header else "no header"
        detail = f"No tracker knows it. In storage there is {kept}, and what is staged for its parts: {folder.parts}."
        yield finding(Kind.TRANSACTION_UNKNOWN, folder.transaction, detail)
    elif header is not None and later is not None and later["header"] is None:
        detail = "Storage has its header, and the tracker has none."
        yield finding(Kind.FACTS_MISSING, folder.transaction, detail)


class _Ledger:
    """What the row says is received, against what is staged."""

    def __init__(self, header: HeaderReceived | None, row: Row | None) -> None:
        self._listed = {spec.type for spec in header.header.series} if header else None
        known = {each["seriesType"]: each["totalCount"] for each in row["series"]} if row else {}
        # The tracker's first: it has heard which came first.
        self.totals = announced(header) | {name: total for name, total in known.items() if total is not None}
        self._gone = received(row)
        self._staged: dict[str, Ordinals] = {}
        self._unclear: dict[str, Ordinals] = {}
        self._contradicting: dict[str, frozenset[int]] = {}

    def enter(self, part: Stocked) -> None:
        """Take in what is staged of one part."""
        name = part.part.series
        if len(part.total_counts) > 1:
            self._contradicting[name] = part.total_counts
        staged, unclear = ordinals.of(part.found.taken), ordinals.of(part.found.unclear)
        there = staged | unclear
        if part.committed:
            there = ordinals.of(part_ordinals(part.part.part, self.totals.get(name, 0)))
        self._gone[name] = self._gone.get(name, NONE) & ~there
        self._staged[name] = self._staged.get(name, NONE) | staged
        self._unclear[name] = self._unclear.get(name, NONE) | unclear

    def findings(self, transaction: str, later: Row | None) -> Iterator[Finding]:
        """What does not fit, also with a row that was read later."""
        unknown = {} if later is None else self._unknown(self._staged, later)
        for kind, which, what in (
            (Kind.BLOCKS_MISSING, self._gone, "Accepted, and not staged any more"),
            (Kind.FACTS_MISSING, unknown, "Staged, and not known to the tracker"),
            (Kind.BLOCKS_UNCLEAR, self._unknown(self._unclear, later), "Staged with more than one content"),
        ):
            if any(which.values()):
                yield finding(kind, transaction, f"{what}: {said(which)}.")
        if self._contradicting:
            each = (f"{name} {sorted(totals)}" for name, totals in self._contradicting.items())
            detail = f"Staged with more than one total count: series {', '.join(islice(each, SERIES_SAID_MAX))}."
            yield finding(Kind.BLOCKS_UNCLEAR, transaction, detail)

    def _unknown(self, which: Mapping[str, Ordinals], later: Row | None) -> dict[str, Ordinals]:
        """Those that a tracker with this row would take, as far as the row tells what it has."""
        if later is None:
            return dict(which)
        if later["state"] != State.AWAITING_RESULTS:
            return {}
        listed = {name: some for name, some in which.items() if self._listed is None or name in self._listed}
        return not_shown(listed, later)
