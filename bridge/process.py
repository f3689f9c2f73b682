"""A process whose log is ours alone: mode's worker prints beside it, and shows all local variables on a signal."""

from __future__ import annotations

import asyncio
import signal
import traceback
from typing import Any

import structlog
from mode import Worker

_log = structlog.get_logger()


class Process(Worker):
    """Runs services until a signal or a failure ends it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # `configure_logs` has been called. Quiet: it prints to what stderr was when it was imported.
        super().__init__(*args, **kwargs | {"override_logging": False, "redirect_stdouts": False, "quiet": True})

    def install_signal_handlers(self) -> None:
        """SIGUSR1 tells where every task is; mode's own shows all local variables with it, bodies and secrets too."""
        super().install_signal_handlers()
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # the other one would wait for a debugger at a terminal
            self.loop.add_signal_handler(number, _say_where)


def _say_where() -> None:
    for task in asyncio.all_tasks():
        frames = []
        at: Any = task.get_coro()
        while (frame := getattr(at, "cr_frame", None)) is not None:
            frames.append((frame, frame.f_lineno))
            at = at.cr_await
        where = traceback.StackSummary.extract(iter(frames))  # without local variables
        _log.warning("a task is here", task=task.get_name(), stack="".join(where.format()))
