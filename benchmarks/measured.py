"""A process under measurement: what it takes of the machine, from its first work to its last."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_TICKS = os.sysconf("SC_CLK_TCK")
READY_S = 60.0


class Used(NamedTuple):
    """Of the machine, by one process."""

    cpu_s: float
    """User and system time since the process was ready."""
    peak_mib: float
    """Resident set at its largest, since the process began."""


class Measured:
    """A Python module that runs as a process of its own; entered, it is ready."""

    def __init__(self, module: Sequence[str], env: Mapping[str, str], *, ready: str, log: Path) -> None:
        """`ready` stands in the line by which it tells that it begins."""
        self._command = [sys.executable, "-m", *module]
        self._env = {**os.environ, **env}
        self._ready = ready
        self._log = log

    def __enter__(self) -> Self:
        out = self._log.open("wb")
        self._process = subprocess.Popen(self._command, env=self._env, stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_S
        while self._ready not in self._log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command)} is not ready:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.002)
        self.began = time.time()
        self._cpu_before = self._cpu()
        return self

    def used(self) -> Used:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return Used(self._cpu() - self._cpu_before, peak_kib / 1024)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
