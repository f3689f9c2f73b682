"""Bridges, trackers and deliveries as child processes of one: `brh run`.

What ends is started again, after a pause that grows while it keeps ending; every process of the product is built to be
killed at any moment, and ends itself where going on would lose something.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog

_log = structlog.get_logger()

PAUSE_FIRST_S: Final = 0.2
PAUSE_MAX_S: Final = 10.0
STEADY_S: Final = 30.0
"""A process that ran this long has come up: its next end is paused for as if it were the first."""
RESTARTS_MAX: Final = 100
"""Ends in a row without having come up; then the whole gives up (about a quarter of an hour)."""
DRAIN_MAX_S: Final = 45.0
"""How long children may take to end when asked; a bridge finishes what it has in hand."""
_LINE_MAX_BYTES: Final = 1 << 20


class GaveUpError(Exception):
    """A process ended again and again without coming up: its output says why."""


class Child(msgspec.Struct, frozen=True):
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    """On top of this process's environment."""


def children(bridges: int, trackers: int, deliveries: int, env: Mapping[str, str]) -> list[Child]:
    """The processes of one machine. `env` holds the settings; names and ports are added, each process its own."""
    worker = env.get("BRH_WORKER_ID") or socket.gethostname()
    quiet = ("--quiet",) if env.get("BRH_LOG_FORMAT") == "json" else ()  # or Faust draws a table of what it starts
    faust = (sys.executable, "-m", "faust", *quiet)
    made = []
    for number in range(1, bridges + 1):
        bind = _bind(env.get("BRH_BRIDGE_BIND", "127.0.0.1:6068"), number)
        own = {"BRH_BRIDGE_ID": f"{worker}-bridge-{number}", "BRH_BRIDGE_BIND": bind}
        made.append(Child(f"bridge-{number}", (sys.executable, "-m", "bridge"), {**env, **own}))
    for number in range(1, trackers + 1):
        bind = _bind(env.get("BRH_API_BIND", "127.0.0.1:6066"), number)
        own = {"BRH_WORKER_ID": f"{worker}-tracker-{number}", "BRH_API_BIND": bind}
        made.append(Child(f"tracker-{number}", (*faust, "-A", "streams.app", "worker"), {**env, **own}))
    for number in range(1, deliveries + 1):
        bind = _bind(env.get("BRH_DELIVERY_BIND", "127.0.0.1:6067"), number)
        own = {"BRH_WORKER_ID": f"{worker}-delivery-{number}", "BRH_DELIVERY_BIND": bind}
        made.append(Child(f"delivery-{number}", (*faust, "-A", "streams.delivery", "worker"), {**env, **own}))
    return made


def _bind(bind: str, number: int) -> str:
    """The first process of a kind has the bind address of the settings, the others free ports on the same host."""
    if number == 1:
        return bind
    host = bind.rpartition(":")[0]
    with socket.create_server((host.strip("[]"), 0)) as free:
        return f"{host}:{free.getsockname()[1]}"


class Supervisor:
    """Keeps children running until it is told to stop."""

    def __init__(self, wanted: list[Child], write: Callable[[str, str], None]) -> None:
        """`write` gets each line that a child prints, as (name, line)."""
        self._wanted = wanted
        self._write = write
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    def pid(self, name: str) -> int | None:
        """Process id of a child; None while it is not running."""
        process = self._running.get(name)
        return process.pid if process and process.returncode is None else None

    def stop(self) -> None:
        """Ask everything to end; `run` returns when it has."""
        self._stopping.set()

    async def run(self) -> None:
        """Start all children and keep them running. Raises GaveUpError."""
        try:
            async with asyncio.TaskGroup() as group:
                for child in self._wanted:
                    group.create_task(self._keep(child))
        except* GaveUpError as failures:
            raise failures.exceptions[0] from None

    async def _keep(self, child: Child) -> None:
        ends = 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                code = await self._once(child)
            except asyncio.CancelledError:
                await self._end(child.name)
                raise
            if self._stopping.is_set():
                return
            ends = 1 if time.monotonic() - began_s >= STEADY_S else ends + 1
            if ends > RESTARTS_MAX:
                raise GaveUpError(f"{child.name} ended {ends} times in a row without coming up, last with {code}")
            pause_s = min(PAUSE_FIRST_S * 2 ** (ends - 1), PAUSE_MAX_S)
            _log.warning("process ended, is started again", child=child.name, code=code, pause_s=pause_s)
            await self._wait_stopping(pause_s)

    async def _once(self, child: Child) -> int:
        process = await asyncio.create_subprocess_exec(
            *child.argv,
            env={**os.environ, **child.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LINE_MAX_BYTES,
            start_new_session=True,  # a Ctrl-C reaches us only, and we end the children in order
            cwd=Path.cwd(),
        )
        self._running[child.name] = process
        copying = asyncio.create_task(self._copy(child.name, process.stdout))
        stopping = asyncio.create_task(self._stopping.wait())
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            await self._end(child.name)
        await copying
        return await ended

    async def _end(self, name: str) -> None:
        process = self._running[name]
        if process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), DRAIN_MAX_S)
        except TimeoutError:
            _log.warning("process did not end in time and is killed", child=name)
            process.kill()
            await process.wait()

    async def _copy(self, name: str, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (line := await self._line(stream)):
            self._write(name, line.decode(errors="replace").rstrip())

    @staticmethod
    async def _line(stream: asyncio.StreamReader) -> bytes:
        try:
            return await stream.readline()
        except ValueError:  # longer than the limit; what was read of it is gone
            return b"(a line that was too long to show)\n"

    async def _wait_stopping(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), timeout_s)
        except TimeoutError:
            return
