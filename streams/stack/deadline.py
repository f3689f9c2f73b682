"""A time limit that several waits share and that another thread can call off."""

from __future__ import annotations

import threading
import time


class Deadline:
    """`timeout_s` from now, for any number of waits."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._called_off = threading.Event()

    def call_off(self) -> None:
        """End every wait now: Ctrl-C must not last as long as the slowest service."""
        self._called_off.set()

    def pause(self, seconds: float) -> bool:
        """Wait a moment. False when no time is left: a loop on `not done and …` ends by itself."""
        left = self._end - time.monotonic()
        return left > 0 and not self._called_off.wait(min(seconds, left))
