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


DEFAULTS: Final = Limits()
