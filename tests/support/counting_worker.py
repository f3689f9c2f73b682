"""One worker of `counting` as a process, and what it says of itself."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["stock", "hardened"]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker is told, as JSON in its environment."""

    name: str
    bootstrap: str
    folder: str
    web_port: int
    kind: Kind
    mode: str
    partitions: int
    layout: Literal["row a number", "row a key"]
    """What a table row holds: one number for ever, or all numbers of a key, written anew with each."""
    instance: str | None
    session_s: float
    stall_s: float


class Status(msgspec.Struct, frozen=True):
    """What a worker says of itself, several times a second."""

    ready: bool
    partitions: list[int]
    """Of the events, that the group has given to it."""
    row_partitions: list[int]
    """Of the rows that it has in memory."""


class Worker:
    """One process."""

    def __init__(self, config: Config, env: dict[str, str]) -> None:
        self.config = config
        self.folder = Path(config.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._status = self.folder / "status.json"
        self._status.unlink(missing_ok=True)
        self._log = self.folder / "app.log"
        argv = [sys.executable, "-m", "tests.support.counting_app", "worker", "-l", "info"]
        own = {**env, "COUNTING": msgspec.json.encode(config).decode()}
        self.began_s = time.monotonic()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(argv, env=own, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def status(self) -> Status | None:
        try:
            return msgspec.json.decode(self._status.read_bytes(), type=Status)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def lines(self, name: str) -> list[str]:
        """Of a file that the worker writes about what happened in it."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    async def ready(self, timeout_s: float = 120) -> float:
        """Seconds from the start until tables are recovered and events flow."""
        await self.until(lambda: (found := self.status()) is not None and found.ready, timeout_s, "ready")
        return time.monotonic() - self.began_s

    async def ended(self, timeout_s: float = 120) -> int:
        """The exit code, when it ends by itself."""
        await self.until(lambda: self.process.poll() is not None, timeout_s, "ended", alive=False)
        return self.process.returncode

    async def ends_with(self, code: int, why: str, timeout_s: float = 120) -> None:
        """It ends by itself, with a line that matches."""
        assert await self.ended(timeout_s) == code, self.log[-4000:]
        assert re.search(f"exit code {code}: .*{why}", self.log), self.log[-4000:]

    async def until(self, probe: Callable[[], object], timeout_s: float, what: str, *, alive: bool = True) -> None:
        """Poll until the probe is true; fails with the log of the worker."""
        deadline = time.monotonic() + timeout_s
        while not probe():
            if alive and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {what}:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not {what} within {timeout_s:g} s:\n{self.log[-4000:]}")
            await asyncio.sleep(0.02)

    def touch(self, name: str) -> None:
        """For a fault that waits for a file."""
        (self.folder / name).touch()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def stop(self, timeout_s: float = 120) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(timeout_s)

    async def kill(self) -> None:
        """SIGKILL, also to one that is stopped."""
        if self.process.poll() is None:
            self.process.kill()
            await self.ended()
