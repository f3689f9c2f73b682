"""Bugs that can be put into the product by name, to see that the laws of a world find them.

Each takes out one thing that the product does on purpose. A simulation in which one of them goes unnoticed proves
nothing about the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.sim.plants import bridges, delivering, tracking
from tests.sim.plants.put import Plant

PLANTS: Final[dict[str, Plant]] = {
    "ack-early": bridges.ack_early,
    "boastful-watermark": bridges.boastful_watermark,
    "clean-before-outcome": delivering.clean_before_outcome,
    "count-instead-of-set": tracking.count_instead_of_set,
    "first-header-by-kafka": bridges.first_header_by_kafka,
    "ghost-rows": tracking.ghost_rows,
    "leave-telling-to-others": delivering.leave_telling_to_others,
    "mark-before-notify": delivering.mark_before_notify,
    "no-fence": delivering.no_fence,
    "no-keep-alive": delivering.no_keep_alive,
    "notify-before-outcome": delivering.notify_before_outcome,
    "offset-before-changelog": tracking.offset_before_changelog,
    "own-clock": tracking.own_clock,
    "own-conflict-is-lost": delivering.own_conflict_is_lost,
    "same-block-id": bridges.same_block_id,
    "swallow-failed-record": tracking.swallow_failed_record,
    "unconditional-commit": delivering.unconditional_commit,
    "unpicked": delivering.unpicked,
}


@contextmanager
def planted(*names: str) -> Iterator[None]:
    """Put bugs in, and take them out again."""
    undo: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        undo.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    for name in names:
        PLANTS[name](put)
    try:
        yield
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)
