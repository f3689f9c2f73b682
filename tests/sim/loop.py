"""An event loop for one simulated process: the product's coroutines run on it as they are.

Callbacks of one process run in the order in which they were scheduled, as on asyncio's own loop; between processes
chance decides. A callback is a step. Time is the world's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from tests.sim.world import Actor

if TYPE_CHECKING:
    from tests.sim.process import Process


class Handle:
    """A callback that may be cancelled."""

    __slots__ = ("args", "call", "cancelled", "when_s")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...], when_s: float = 0.0) -> None:
        self.call = call
        self.args = args
        self.cancelled = False
        self.when_s = when_s

    def cancel(self) -> None:
        self.cancelled = True
        self.args = ()

    def when(self) -> float:
        return self.when_s


class SimTask(asyncio.Task):
    """A task whose hash is a number: asyncio keeps tasks in sets, and cancels them in the order of the set."""

    __slots__ = ("_number",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any], number: int, loop: SimLoop) -> None:
        self._number = number
        super().__init__(coroutine, loop=loop)
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        self.ready: deque[Handle] = deque()
        self.tasks: list[SimTask] = []
        """All that were ever made and not known to be done: what is suspended must not be closed while others run."""

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._world.now_s

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:
        handle = Handle(callback, args)
        self.push(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:
        handle = Handle(callback, args, when)
        self._world.at(when, self._due, handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:
        return self.call_at(self._world.now_s + delay, callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> SimTask:
        task = SimTask(coro, self._world.next_number(), self)
        if len(self.tasks) > 256:
            self.tasks = [each for each in self.tasks if not each.done()]
        self.tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Its work is done at once, and known some callbacks later."""
        future = self.create_future()
        self.call_soon(_complete, future, func, args)
        return future

    async def create_connection(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        """The broker of this world, whatever the address."""
        return await self._process.connect(protocol_factory())

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a process does with it is up to whoever made the task."""

    # What the world does

    def push(self, handle: Handle) -> None:
        process = self._process
        if process.alive:
            self.ready.append(handle)
            if process.place < 0 and not process.frozen:
                self._world.wake(process)

    def _due(self, handle: Handle) -> None:
        if not handle.cancelled:
            self.push(handle)


def _complete(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if future.done():
        return
    try:
        future.set_result(func(*args))
    except Exception as error:
        future.set_exception(error)


__all__ = ["Actor", "Handle", "SimLoop", "SimTask"]
