"""A program on a pseudo-terminal, as a person would see it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self


class OnTerminal:
    """A process whose stderr, and stdout if it is wanted so, is a terminal; ended when the block is left."""

    def __init__(
        self, program: Sequence[str], env: dict[str, str], *, columns: int = 100, stdout: bool = False
    ) -> None:
        self._master, slave = pty.openpty()
        said = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
        without = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
        self.process = subprocess.Popen(
            program,
            env={**without, **said, **env},
            stdin=subprocess.DEVNULL,
            stdout=slave if stdout else subprocess.PIPE,
            stderr=slave,
            # As from a terminal: whoever runs the tests in the background may ignore Ctrl-C, and that is inherited.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # one system call
        )
        os.close(slave)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self._master)

    def until(self, seen: Callable[[str], bool], timeout_s: float = 60) -> str:
        """Everything seen, as soon as `seen` is content with it; fails when the process or the time ends before."""
        deadline = time.monotonic() + timeout_s
        while not seen(self.seen):
            assert self._read(deadline), f"not seen: {self.seen!r}"
        return self.seen

    def end(self, timeout_s: float = 60) -> int:
        """Read everything and return the exit code."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline):
            pass
        return self.process.wait(max(1, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"nothing more within the time: {self.seen!r}"
        try:
            came = os.read(self._master, 65_536)
        except OSError:  # what Linux says when nobody has the other end any more
            return False
        self.seen += came.decode(errors="replace")
        return bool(came)
