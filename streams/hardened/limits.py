"""How long a worker may stand still, in all its ways of standing still."""

from __future__ import annotations

from typing import Final

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Of one worker; bounds and reasons stand in `streams.settings`."""

    frozen_session_share: float = 0.5
    """Of a session, that the process may stand still as a whole."""
    fence_session_share: float = 0.8
    """Of a session, that the last accepted heartbeat may be old when a fenced record is sent."""
    stall_s: float = 600.0
    """That the worker may make no progress while something waits for it."""
    partition_stall_s: float = 3_600.0
    """That one partition may make none while the others do."""
    quiet_s: float = 3.0
    """That a recovery may stand still before it is asked what it waits for."""


DEFAULTS: Final = Limits()
