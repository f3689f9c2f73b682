"""A process under measurement, and what it and those it talks to take of the machine meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

READY_S: Final = 60.0
QUIET_S: Final = 60.0
QUIET_CORES: Final = 0.15
"""What a service may still take of a processor and count as having nothing to do."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOOK_S: Final = 0.5
_POLL_S: Final = 0.005


class Machine(NamedTuple):
    """The stack that a round is measured on."""

    env: Mapping[str, str]
    """Settings that lead to it."""
    pids: Mapping[str, int]
    """Of its services, by what they are here: `rabbitmq`, `kafka`, `storage`."""

    def wait_quiet(self) -> None:
        """Until the services have done what earlier work left them to do, and all that was written is on the disk.

        A queue that was filled a moment ago is still being written to its segments: that is the producers' work.
        """
        os.sync()
        deadline = time.monotonic() + QUIET_S
        before = cpu_s(self.pids)
        while time.monotonic() < deadline:
            time.sleep(_LOOK_S)  # the interval that is looked at
            now = cpu_s(self.pids)
            if all(now[name] - before[name] < QUIET_CORES * _LOOK_S for name in now):
                return
            before = now


class Used(NamedTuple):
    """Of the machine."""

    cpu_s: Mapping[str, float]
    """User and system time since the process was ready: its own as `itself`, and that of the services beside it."""
    peak_mib: float
    """The process's resident set at its largest, since it began."""


class Measured:
    """A Python module that runs as a process of its own; entered, it is ready."""

    def __init__(
        self,
        module: Sequence[str],
        env: Mapping[str, str],
        *,
        ready: str,
        log: Path,
        beside: Mapping[str, int],
    ) -> None:
        """`ready` stands in the line by which it tells that it begins; `beside` are other processes to look at."""
        self._command = [sys.executable, "-m", *module]
        self._env = {**os.environ, **env}
        self._ready = ready
        self._log = log
        self._beside = beside

    def __enter__(self) -> Self:
        out = self._log.open("wb")
        self._process = subprocess.Popen(self._command, env=self._env, stdout=out, stderr=subprocess.STDOUT)
        self.wait_for(self._ready, READY_S)
        self.began = time.time()
        self._before = self._cpu_s()
        return self

    def wait_for(self, words: str, timeout_s: float) -> str:
        """What follows the words in the line where the process tells them."""
        deadline = time.monotonic() + timeout_s
        while words not in (told := self._log.read_text(errors="replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command)} has not told {words!r}:\n{told[-2000:]}")
            time.sleep(_POLL_S)
        return told.partition(words)[2].partition("\n")[0]

    def used(self) -> Used:
        """Since it was ready."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        now = self._cpu_s()
        return Used({name: now[name] - self._before[name] for name in now}, peak_kib / 1024)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _cpu_s(self) -> dict[str, float]:
        return cpu_s({"itself": self._process.pid, **self._beside})


def cpu_s(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process so far."""
    found = {}
    for name, pid in pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) / _TICKS
    return found
