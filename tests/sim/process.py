"""A process of the product: it runs callback by callback, and can be killed or frozen between any two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, NoReturn

from tests.sim.loop import SimLoop
from tests.sim.world import Actor, World

current: list[Process] = []
"""The one whose callback runs; empty between steps. For clocks that the product reads without being asked who it is."""
worlds: list[World] = []
"""The one of this run: whose clock it is when no process runs, but a service."""


class Ends(SystemExit):
    """The process has ended itself; nothing after this counts."""


class Process(Actor):
    """An actor as long as it has callbacks to run."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world.next_number())
        self.world = world
        self.name = name
        self.alive = True
        self.frozen = False
        self.skew_s = 0.0
        """How much its clock is ahead."""
        self.loop = SimLoop(self)
        self.on_end: Callable[[Process, str], None] = lambda _process, _why: None
        """Called once, when it has ended for whatever reason."""
        world.note(name, "starts")

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something for as long as the process lives; an error in it ends the process."""
        task = self.loop.create_task(coroutine)
        task.add_done_callback(self._watch)

    def now(self) -> datetime:
        """As its clock says."""
        return self.world.now() + timedelta(seconds=self.skew_s)

    def step(self) -> None:
        ready = self.loop.ready
        handle = ready.popleft()
        if not ready:
            self.world.rest(self)
        if handle.cancelled:
            return
        current.append(self)
        asyncio._set_running_loop(self.loop)
        try:
            handle.call(*handle.args)
        except Ends:
            pass
        finally:
            current.pop()

    async def connect(self, connection: Any) -> Any:
        """Where `create_connection` ends up."""
        raise NotImplementedError

    # Ends

    def crash(self, error: BaseException) -> NoReturn:
        """An error that the product says can only be a mistake of its own."""
        self.world.violate(f"{self.name} found a mistake of ours: {error!r}")

    def exit(self, why: str) -> None:
        """End like `os._exit` does: nothing runs any more, not even what cleans up."""
        self.end(why)
        raise Ends(why)

    def end(self, why: str) -> None:
        """Stop existing; again is harmless."""
        if self.alive:
            self.alive = False
            self.world.rest(self)
            self.loop.ready.clear()
            self.world.note(self.name, "ends:", why)
            self.ended()
            self.on_end(self, why)

    def ended(self) -> None:
        """Let go of what the operating system closes."""

    def freeze(self) -> None:
        """Stand still; what arrives waits."""
        self.frozen = True
        self.world.rest(self)

    def thaw(self) -> None:
        """Go on as if nothing had been."""
        self.frozen = False
        if self.alive and self.loop.ready:
            self.world.wake(self)

    def _watch(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.crash(error)
