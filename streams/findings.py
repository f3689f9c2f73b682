"""What may be found wrong about a transaction, and what mends it: the kinds, as data. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Kind(StrEnum):
    """The strings are public and stable."""

    TRANSACTION_UNKNOWN = "transaction-unknown"
    """A header or blocks of a transaction that no tracker knows, and no outcome."""
    FACTS_MISSING = "facts-missing"
    """The tracker does not know of a header or of payloads that are in storage."""
    ROW_MISSING = "row-missing"
    """An outcome that was told a while ago, and no row, so that late messages would open the transaction again."""
    ROW_BEHIND = "row-behind"
    """The tracker has it open, and there is an outcome."""
    ROW_DIFFERS = "row-differs"
    """The tracker shows another outcome than the one that was written."""
    TRANSACTION_LOST = "transaction-lost"
    """The events topic tells of a transaction that no tracker knows, and no outcome."""
    ROW_LACKS_EVENTS = "row-lacks-events"
    """The events topic tells of a header, payloads or an outcome that the tracker does not show."""
    ROW_CONTRADICTS_EVENTS = "row-contradicts-events"
    """The tracker shows another outcome than the events topic tells."""
    BLOCKS_UNCLEAR = "blocks-unclear"
    """Contradicting messages are staged, and no fact tells which were first."""
    BLOCKS_MISSING = "blocks-missing"
    """Accepted payloads whose blocks have gone."""
    HEADER_MISSING = "header-missing"
    """The tracker has a header that storage does not have."""
    OUTCOME_MISSING = "outcome-missing"
    """The tracker has it closed, and there is no outcome."""
    OUTCOME_UNTOLD = "outcome-untold"
    """An outcome that nobody was told of."""
    TOLD_WITHOUT_OUTCOME = "told-without-outcome"
    """The marker that an outcome was told, and no outcome."""
    ORPHANS_MISSING = "orphans-missing"
    """The outcome names a record of orphans that is not there."""
    PART_MISSING = "part-missing"
    """A part of a result that is not there."""
    PART_DIFFERS = "part-differs"
    """A part of a result with another ETag or length than its outcome says."""
    PARTS_LEFT = "parts-left"
    """Parts of a closed transaction that belong to no result."""
    RECORD_UNREADABLE = "record-unreadable"
    """One of the records is not what this version writes."""


REBUILD: Final = "`brh fsck --rebuild` publishes again what storage tells."
_LEFT: Final = " What is left then `brh gaps {0}` names, and `brh send {0} --only-missing` sends it again."
_RESTORE: Final = "Restore it from the storage account's soft delete, a version or a backup"
_ANEW: Final = ", or send the result again with `brh send` under another transaction id."
_SWEEP: Final = "Start a delivery, with `brh run` or by itself: its sweep "

_REMEDIES: Final[dict[Kind, str]] = {
    Kind.TRANSACTION_UNKNOWN: REBUILD,
    Kind.FACTS_MISSING: REBUILD + _LEFT,
    Kind.ROW_MISSING: REBUILD,
    Kind.ROW_BEHIND: REBUILD,
    Kind.ROW_DIFFERS: "Nothing has to be done: the outcome counts, `brh fetch {0}` follows it, and the row goes "
    "when its time is over.",
    Kind.TRANSACTION_LOST: REBUILD + " Where storage has nothing of it, `brh send {0}` sends all of it again.",
    Kind.ROW_LACKS_EVENTS: REBUILD + _LEFT,
    Kind.ROW_CONTRADICTS_EVENTS: "The outcome in storage counts, and `brh fetch {0}` follows it; `brh replay {0}` "
    "names the event that tells another one.",
    Kind.BLOCKS_UNCLEAR: "After `brh fsck --rebuild`, `brh send {0} --only-missing` sends these payloads again: what "
    "comes first then stays.",
    Kind.BLOCKS_MISSING: "`brh send {0}` with the files and options of the first time stages them again, and the "
    "others count as duplicates; once `brh gaps {0}` calls them lost, --only-missing is enough.",
    Kind.HEADER_MISSING: "`brh send {0}` with the files and options of the first time writes it again, and all else "
    "counts as a duplicate. A producer of your own has to send the very same header: another one would contradict it.",
    Kind.OUTCOME_MISSING: _RESTORE + "; without it nobody can say what the result is.",
    Kind.OUTCOME_UNTOLD: _SWEEP + "tells it.",
    Kind.TOLD_WITHOUT_OUTCOME: _RESTORE + ": consumers were told of it.",
    Kind.ORPHANS_MISSING: _RESTORE + "; the outcome is told without it.",
    Kind.PART_MISSING: _RESTORE + _ANEW,
    Kind.PART_DIFFERS: _RESTORE + _ANEW,
    Kind.PARTS_LEFT: _SWEEP + "removes them.",
    Kind.RECORD_UNREADABLE: "Use a newer release of `brh` where one has written it. " + _RESTORE + " otherwise.",
}

MENDED: Final = frozenset({Kind.TRANSACTION_UNKNOWN, Kind.FACTS_MISSING, Kind.ROW_MISSING, Kind.ROW_BEHIND})
"""By publishing again what storage tells."""


class Finding(msgspec.Struct, frozen=True, rename="camel"):
    """One thing that is wrong."""

    kind: Kind
    transaction_id: str
    detail: str
    """A sentence."""
    remedy: str
    """What to do, with the command where there is one."""


def finding(kind: Kind, transaction: str, detail: str) -> Finding:
    """The finding with its remedy."""
    return Finding(kind, transaction, detail, remedy(kind, transaction))


def remedy(kind: Kind, transaction: str) -> str:
    """What mends it."""
    return _REMEDIES[kind].format(transaction)
