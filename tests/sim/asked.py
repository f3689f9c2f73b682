"""What the API tells producers and operators."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.contract.outbound import Ranges
from tables.missing import missing_of
from tables.transaction import Transaction
from tests.sim.installation import Installation
from tests.sim.tracker import Tracker


def lost(installation: Installation, transaction: str, *, missing: bool) -> Mapping[str, Ranges | None]:
    """Ordinals of accepted payloads that are known not to be staged any more, by series; or of all that are missing."""
    known = _known(installation, transaction)
    if missing and known is not None and known.verdict is None:
        return missing_of(known)[0]
    for problem in reversed(known.problems) if known is not None else ():
        if problem.code == "blocks-missing":
            return problem.missing or {}
    return {}


def is_known(installation: Installation, transaction: str) -> bool:
    """Whether the owner has heard of it."""
    return _known(installation, transaction) is not None


def _known(installation: Installation, transaction: str) -> Transaction | None:
    partition = installation.topics.partition_of(transaction)
    for tracker in installation.running("tracker"):
        if isinstance(tracker, Tracker) and tracker.flowing and partition in tracker.assigned:
            known = tracker.assembler.known(transaction)
            return known if known is not None and known.settled is None else None
    return None
