"""The product in small, and without its clocks: what has to be replaced so that a run is fast and is the same again.

Small: 8 bytes are a sub-block, 4 payloads a run, 8 or 16 ordinals a part. So a few dozen bytes go through everything
that gigabytes do: several sub-blocks, several parts, runs that merge. The code is the product's own, its constants are
not. Nothing of it is undone: a process that has called `prepare` is a simulator and nothing else.
"""

from __future__ import annotations

import sys
import warnings
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, Final

from bridge import (
    gathering,
    hand,
    headers,
    hold,
    inflow,
    lane,
    lanes,
    layout,
    memory,
    memory_blobs,
    payloads,
    rejection,
    runs,
)
from bridge import watermarks as bridge_watermarks
from streams import assemble, commit, courier, found, outcome, partition, post, restore, topics
from streams.hardened import outstanding
from tables import contents
from tests.sim.connection import SimConnection
from tests.sim.process import current, worlds

SHORT_SERIES: Final = 8
LONG_PART_ORDINALS: Final = 16
SUB_BLOCK_BYTES: Final = 8
LONG_SUB_BLOCK_BYTES: Final = 32
SMALL_BYTES: Final = 8
"""A payload below this is small, and may be in a run."""
RUN_ORDINALS: Final = 4
RUN_BYTES: Final = 20
CHUNK_ORDINALS: Final = 8
BUFFER_BYTES: Final = 4
"""Half of a sub-block, so that bodies are made of several buffers."""

_CLOCKED: Final = (gathering, headers, memory_blobs, payloads, rejection, commit, courier, outcome, post, restore)
"""Modules that ask for the time of day."""


class SimDatetime(datetime):
    """`datetime.now` by the clock of the process that asks."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return current[-1].now() if current else worlds[-1].now()


class _Time:
    """`time.monotonic` of the process that asks."""

    @staticmethod
    def monotonic() -> float:
        return worlds[-1].now_s


class _Chance:
    """`random.uniform` of the world."""

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return low + (high - low) * current[-1].world.chance.random()


class _Uuid:
    """`uuid4` of the world."""

    @property
    def hex(self) -> str:
        return f"{current[-1].world.chance.getrandbits(128):032x}"


class _Silence:
    """A logger that costs nothing."""

    def debug(self, *_: Any, **__: Any) -> None: ...

    info = warning = error = critical = exception = debug


_prepared: list[bool] = []


def prepare() -> None:
    """Make this process one that simulates; again is harmless."""
    if _prepared:
        return
    _prepared.append(True)
    _shrink()
    for module in _CLOCKED:
        module.datetime = SimDatetime
    for module in (assemble, partition):
        module.time = _Time
    for module in (hold, lanes):
        module.random = _Chance
    topics.Topics.partition_of = lru_cache(4_096)(topics.Topics.partition_of)  # a hash in pure Python, of a few names
    bridge_watermarks.uuid4 = _Uuid
    silence = _Silence()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("bridge", "streams") and hasattr(module, "_log"):
            module._log = silence
    _number_lanes()
    lane.AmqpConnection = SimConnection
    outstanding.end_process = lambda _code, why, _error=None: current[-1].exit(why)
    # A process that was killed leaves coroutines behind that will never be finished.
    warnings.simplefilter("ignore", RuntimeWarning)
    sys.unraisablehook = lambda _: None


def _shrink() -> None:
    layout.SHORT_SERIES = SHORT_SERIES
    layout.LONG_PART_ORDINALS = LONG_PART_ORDINALS
    layout.SUB_BLOCK_BYTES = SUB_BLOCK_BYTES
    layout.LONG_SUB_BLOCK_BYTES = LONG_SUB_BLOCK_BYTES
    payloads.SMALL_PAYLOAD_BYTES = SMALL_BYTES
    runs.RUN_PAYLOAD_MAX_BYTES = SMALL_BYTES
    runs.RUN_ORDINALS_MAX = RUN_ORDINALS
    runs.RUN_MAX_BYTES = RUN_BYTES
    hand.RUN_ORDINALS_MAX = found.RUN_ORDINALS_MAX = RUN_ORDINALS
    found.RUN_MAX_BYTES = RUN_BYTES
    contents.CHUNK_ORDINALS = CHUNK_ORDINALS
    memory.BUFFER_BYTES = inflow.BUFFER_BYTES = BUFFER_BYTES
    memory._buffer = lambda: memoryview(bytearray(BUFFER_BYTES))


def _number_lanes() -> None:
    """Lanes are put into sets: in the order of their births, and not of their addresses."""
    made = lane.Lane.__init__

    def numbered(self: lane.Lane, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self._number = worlds[-1].next_number()

    lane.Lane.__init__ = numbered
    lane.Lane.__hash__ = lambda self: self._number


__all__ = ["UTC", "prepare"]
