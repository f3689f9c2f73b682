"""Bugs that can be put into the product by name, to see that the laws of a world find them.

Each takes out one thing that the product does on purpose. A simulation in which one of them goes unnoticed proves
nothing about the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec.structs import replace

from bridge import gathering
from bridge.contract.events import Delivered, Staged
from bridge.contract.outbound import Told
from streams.clean import clean
from streams.courier import Courier, leaves_garbage
from streams.hardened.outstanding import Outstanding
from streams.notification import notification_id
from streams.outcome import Decided, delivered, find_told, mark_told
from tables import accept, messages
from tables.accept import Taken
from tables.transaction import Series
from tests.sim.storage import Storage
from tests.sim.tracker import Tracker

Put = Callable[[Any, str, Any], None]
Plant = Callable[[Put], None]


def _ack_early(put: Put) -> None:
    """Small payloads are acknowledged before they are staged and published."""
    settle, batch = gathering._settle, gathering.Gathering._batch

    async def early(self: Any, transaction: str, runs: Any) -> None:
        settle([small for run in runs for small in run])
        await batch(self, transaction, runs)

    put(gathering, "_settle", lambda _payloads: None)
    put(gathering.Gathering, "_batch", early)


def _mark_before_notify(put: Put) -> None:
    """The marker is written first, so a crash between the two leaves an outcome that nobody was told of."""

    async def follow(self: Courier, decided: Decided) -> Delivered:
        outcome = decided.outcome
        if leaves_garbage(decided):
            await clean(self._blobs, outcome, 2)
        told = await find_told(self._blobs, outcome.transaction_id)
        if told is None:
            marker = Told(notification_id(outcome.transaction_id, outcome.outcome), outcome.timestamps.completed)
            told = await mark_told(self._blobs, outcome.transaction_id, marker)
            await self._tell(decided)
        return delivered(decided, told)

    put(Courier, "_follow", follow)


def _unconditional_commit(put: Put) -> None:
    """Blobs are written without `If-None-Match: *`: whoever comes last wins."""
    put(Storage, "unconditional", True)


def _offset_before_changelog(put: Put) -> None:
    """An offset is committed while changes of tables are still on their way."""

    async def no_wait(_self: Outstanding) -> None:
        return

    put(Outstanding, "wait", no_wait)


def _count_instead_of_set(put: Put) -> None:
    """What was received is counted, duplicates too."""
    take = accept.take

    def counting(series: Series, staged: Staged) -> tuple[Series, Taken]:
        after, taken = take(series, staged)
        if taken is Taken.DUPLICATE:
            after = replace(after, received_count=after.received_count + staged.count)
        return after, taken

    put(messages, "take", counting)


def _ghost_rows(put: Put) -> None:
    """Rows, and the index over them, of partitions that have gone to others are kept and acted on."""
    put(Tracker, "keeps_ghosts", True)


PLANTS: Final[dict[str, Plant]] = {
    "ack-early": _ack_early,
    "mark-before-notify": _mark_before_notify,
    "unconditional-commit": _unconditional_commit,
    "offset-before-changelog": _offset_before_changelog,
    "count-instead-of-set": _count_instead_of_set,
    "ghost-rows": _ghost_rows,
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
