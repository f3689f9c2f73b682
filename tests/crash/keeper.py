"""Keeps processes running, as a supervisor does; and sets a frozen one aside while another one takes its place."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from streams.supervisor import Child

AGAIN_S = 0.1
"""A process that has ended is started again after this long."""
ENDS_MAX_S = 60.0


class End(NamedTuple):
    """A process that has ended without having been asked to."""

    name: str
    pid: int
    code: int


class Slot:
    """One process to keep running, and whatever runs in it now."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.wanted = True
        self.asked = False
        """The process that runs now has been asked to end."""
        self.process: asyncio.subprocess.Process | None = None
        self.keeping: asyncio.Task[None] | None = None
        self.log_begin = 0
        """Where in the log the process that runs now has begun."""

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class Keeper:
    """The processes of one installation."""

    def __init__(self, folder: Path) -> None:
        """Each process has a log in the folder."""
        self._folder = folder
        self._slots: dict[str, Slot] = {}
        self._zombies: list[Slot] = []
        self.ends: list[End] = []
        """Those of processes that were not set aside."""

    def start(self, child: Child) -> None:
        """Keep a process running."""
        slot = self._slots[child.name] = Slot(child)
        slot.keeping = asyncio.create_task(self._keep(slot))

    def pid(self, name: str) -> int | None:
        """Of the process that runs now under a name."""
        slot = self._slots.get(name)
        return slot.pid if slot else None

    def log(self, name: str) -> Path:
        """What the processes of that name have printed."""
        return self._folder / f"{name}.log"

    def printed(self, name: str) -> bytes:
        """What the process that runs now has printed."""
        with self.log(name).open("rb") as log:
            log.seek(self._slots[name].log_begin)
            return log.read()

    async def restart(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Ask the process to end, and wait until another one has been started; `env` is for that one."""
        slot = self._slots[name]
        slot.child = replace(slot.child, env={**slot.child.env, **(env or {})})
        if (old := slot.process) is None or old.returncode is not None:
            return
        slot.asked = True
        with suppress(ProcessLookupError):
            old.terminate()
        async with asyncio.timeout(ENDS_MAX_S):
            # It may have been frozen meanwhile, and another one has come in its place.
            while self.pid(name) in {None, old.pid}:
                await asyncio.sleep(0.02)

    async def pause(self, name: str) -> Child:
        """End a process; what to start when it is wanted again. It is killed if it does not end on request."""
        slot = self._slots.pop(name)
        await self._stop(slot)
        return slot.child

    def set_aside(self, name: str, env: Mapping[str, str]) -> Slot:
        """Start another process under the name of one that is frozen, with these changes; what is set aside."""
        frozen = self._slots[name]
        frozen.wanted = False
        self._zombies.append(frozen)
        self.start(replace(frozen.child, env={**frozen.child.env, **env}))
        return frozen

    async def bury(self) -> None:
        """Kill what was set aside."""
        for zombie in self._zombies:
            if zombie.pid is not None:
                os.kill(zombie.pid, signal.SIGKILL)
            if zombie.keeping is not None:
                await zombie.keeping
        self._zombies.clear()

    async def close(self) -> None:
        """End everything."""
        await self.bury()
        await asyncio.gather(*(self._stop(slot) for slot in self._slots.values()))
        self._slots.clear()

    async def _stop(self, slot: Slot) -> None:
        slot.wanted, slot.asked = False, True
        assert slot.keeping is not None
        if slot.pid is not None:
            os.kill(slot.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(slot.keeping), ENDS_MAX_S)
        except TimeoutError:
            if slot.pid is not None:
                os.kill(slot.pid, signal.SIGKILL)
            await slot.keeping

    async def _keep(self, slot: Slot) -> None:
        while slot.wanted:
            slot.asked = False
            with self.log(slot.child.name).open("ab") as log:
                slot.log_begin = log.tell()
                slot.process = await asyncio.create_subprocess_exec(
                    *slot.child.argv,
                    env={**os.environ, **slot.child.env},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                )
            code = await slot.process.wait()
            if not slot.asked and slot.wanted:
                self.ends.append(End(slot.child.name, slot.process.pid, code))
                await asyncio.sleep(AGAIN_S)
