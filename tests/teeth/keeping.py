"""Bugs of the hardened Faust app: rows, offsets, partitions. Found on a real Kafka."""

from __future__ import annotations

from typing import Any

from streams import hardened
from streams.hardened import app, fence
from streams.hardened.app import HardenedApp
from streams.hardened.outstanding import Outstanding
from tests.teeth.bugs import Put, bug


@bug("edges/test_hardened.py::test_an_offset_is_committed_after_the_rows_before_it_have_arrived", stack=True)
def offset_before_changelog(put: Put) -> None:
    """An offset is committed while rows are on their way."""

    async def no_wait(_self: Any) -> None:
        return

    put(Outstanding, "wait", no_wait)


@bug("edges/test_hardened.py::test_what_an_agent_or_a_record_fails_on_is_read_again", stack=True)
def failed_record_forgotten(put: Put) -> None:
    """A record that Kafka did not take is forgotten, and the offset of its event is committed."""

    def done(self: Any, future: Any) -> None:
        self._futures.discard(future)
        if not future.cancelled():
            future.exception()

    put(Outstanding, "_done", done)


@bug("edges/test_hardened.py::test_what_an_agent_or_a_record_fails_on_is_read_again", stack=True)
def agent_error_swallowed(put: Put) -> None:
    """An agent that raises is started again, and its event counts as done."""

    async def nothing(_self: Any, _agent: Any, _exc: Any) -> None:
        return

    put(HardenedApp, "_on_agent_error", nothing)


@bug("edges/test_hardened.py::test_an_event_that_is_not_acknowledged_is_not_committed_past", stack=True)
def committed_past_open_work(put: Put) -> None:
    """The offset of an event is committed while one before it is in hand."""
    put(app, "stop_at_the_first_unacked", lambda consumer: consumer._new_offset)


@bug(
    "edges/test_hardened_group.py::test_a_worker_whose_partitions_went_to_another_writes_no_row_over_the_others",
    stack=True,
)
def unfenced(put: Put) -> None:
    """A worker that was frozen goes on where it was, and writes over its successor."""
    put(fence.Fence, "check", lambda _self: None)
    put(fence.Fence, "watch_clock", lambda _self: None)


@bug("edges/test_hardened_group.py::test_rows_of_partitions_that_went_to_others_are_forgotten", stack=True)
def ghosts_kept(put: Put) -> None:
    """A worker keeps rows of partitions that have gone to others."""
    put(app, "drop_ghosts", lambda _table, _is_ours: 0)
    put(hardened, "drop_ghosts", lambda _table, _is_ours: 0)
