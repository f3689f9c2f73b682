"""Which scenario passes each crash point, and which processes are made to die there."""

from __future__ import annotations

from typing import Final

BY_SCENARIO: Final[dict[str, tuple[str, ...]]] = {
    # Headers, payloads of all sizes, duplicates: results that complete.
    "results": (
        "bridge.header-parsed",
        "bridge.header-kept",
        "bridge.header-published",
        "bridge.header-acked",
        "bridge.block-staged",
        "bridge.payload-unsealed",
        "bridge.payload-staged",
        "bridge.payload-published",
        "bridge.payload-acked",
        "bridge.batch-gathered",
        "bridge.batch-staged",
        "bridge.batch-published",
        "bridge.batch-acked",
        "tracker.record-read",
        "tracker.row-written",
        "tracker.view-written",
        "tracker.effect-sent",
        "tracker.record-taken",
        "tracker.tick-sent",
        "tracker.tick-taken",
        "tracker.outcome-shown",
        "tracker.transaction-closed",
        "tracker.leftover-dropped",
        "delivery.effect-read",
        "delivery.announced",
        "delivery.part-committed",
        "delivery.series-assembled",
        "delivery.outcome-written",
        "delivery.outcome-published",
        "delivery.exchange-told",
        "delivery.outcome-told",
        "delivery.told-marked",
        "delivery.answered",
        "delivery.acknowledged",
        "worker.records-flushed",
        "worker.offsets-committed",
    ),
    # Messages that break the contract, among others.
    "refusals": ("bridge.rejection-announced", "bridge.refusal-published", "bridge.message-rejected"),
    # Two contents for one ordinal: the transaction fails, and what was staged is removed.
    "conflicts": ("delivery.part-fenced", "delivery.part-deleted", "delivery.cleaned-up"),
    # A series that the header does not list.
    "orphans": ("delivery.orphans-kept", "delivery.orphans-told"),
    # Two contents for one ordinal, of which the first is kept: the delivery cannot tell which, and asks.
    "unclear": ("delivery.refused",),
    # Transactions that are cancelled over the API.
    "commands": ("tracker.command-sent", "tracker.command-published"),
    # Records on Kafka that this version cannot read.
    "unreadable": ("tracker.record-parked", "delivery.record-parked"),
    # Nobody answers for a while.
    "silence": ("tracker.asked-again",),
    # Processes that are asked to end in the middle of the work, and come back.
    "restarts": (
        "bridge.presence-said",
        "bridge.drained",
        "bridge.farewell-said",
        "tracker.rows-recovered",
        "tracker.views-recovered",
        "tracker.index-rebuilt",
    ),
    # The broker closes the bridge's connections in the middle of the work.
    "cuts": ("bridge.lane-lost",),
    # Blocks whose week is nearly over.
    "renewals": ("delivery.kept-alive",),
    # Headers that never come, results that stay incomplete: given up by the watermark, as partial results and as none.
    "lateness": (
        "bridge.watermarks-said",
        "bridge.watermarks-reckoned",
        "tracker.watermark-heard",
        "tracker.decision-kept",
    ),
    # Closed transactions whose retention is over.
    "forgetting": ("tracker.outcome-forgotten",),
    # Outcomes that nobody was told of, and blocks that were staged behind a clean-up.
    "sweeping": ("sweep.page-listed", "sweep.outcome-told", "sweep.outcome-reported", "sweep.cleaned-up"),
    # Results whose retention is over.
    "expiry": ("sweep.parts-removed", "sweep.record-removed", "sweep.result-removed"),
}

SCENARIO: Final = {name: scenario for scenario, names in BY_SCENARIO.items() for name in names}
"""Of each point."""

PROCESSES: Final = {
    "bridge": ("bridge",),
    "tracker": ("tracker",),
    "delivery": ("delivery",),
    "sweep": ("delivery",),
    "worker": ("tracker", "delivery"),
}
"""Who is made to die, by the first word of a point's name."""


def processes(name: str) -> tuple[str, ...]:
    """Kinds of process that pass a point."""
    return PROCESSES[name.partition(".")[0]]
