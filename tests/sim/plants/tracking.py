"""What a tracker would do wrong, and the Faust under it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bridge.contract.events import Staged
from streams.hardened.outstanding import Outstanding
from tables import accept, deadlines, messages
from tables.accept import Taken
from tables.transaction import Series
from tests.sim.plants.put import Put
from tests.sim.tracker import Tracker


def count_instead_of_set(put: Put) -> None:
    """What was received is counted, duplicates too."""
    take = accept.take

    def counting(series: Series, staged: Staged) -> tuple[Series, Taken]:
        after, taken = take(series, staged)
        if taken is Taken.DUPLICATE:
            after = replace(after, received_count=after.received_count + staged.count)
        return after, taken

    put(messages, "take", counting)


def ghost_rows(put: Put) -> None:
    """Rows, and the index over them, of partitions that have gone to others are kept and acted on."""
    put(Tracker, "keeps_ghosts", True)


def offset_before_changelog(put: Put) -> None:
    """An offset is committed while changes of tables are still on their way."""

    async def no_wait(_self: Outstanding) -> None:
        return

    put(Outstanding, "wait", no_wait)


def own_clock(put: Put) -> None:
    """Producers are late by the broker's clock, so an outage of ours abandons them."""
    put(deadlines.Clock, "passed", lambda self, deadline, _limits: self.now >= deadline.at)


def swallow_failed_record(put: Put) -> None:
    """A record that Kafka did not take is forgotten, as stock Faust does, and the offset is committed."""

    def done(self: Outstanding, future: Any) -> None:
        self._futures.discard(future)
        future.exception()

    put(Outstanding, "_done", done)
