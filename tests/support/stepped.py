"""Any object with asynchronous methods, every call of which can be stopped before and after it is done.

To die there, as a process does:      Stepped(blobs, dying_at(3))
To let somebody else go first:        Turns(random.Random(7)).run({"one": lambda step: use(Stepped(blobs, step)), ...})
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

Step = Callable[[str], Awaitable[None]]


class Died(BaseException):
    """The process is gone: no handler of the product may run on it."""


class Stepped:
    """The same object; `step` is awaited with what is about to be done, and again when it is done."""

    def __init__(self, inner: Any, step: Step) -> None:
        self._inner, self._step = inner, step

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def stepped(*args: Any, **named: Any) -> Any:
            what = " ".join([name, *(str(arg) for arg in args[:1])])
            await self._step(f"before {what}")
            result = await method(*args, **named)
            await self._step(f"after {what}")
            return result

        return stepped


def dying_at(number: int) -> Step:
    """Dies at one step, counted from 0, and at every one after it: a dead process does nothing more."""
    count = 0

    async def step(what: str) -> None:
        nonlocal count
        count += 1
        if count > number:
            raise Died(what)

    return step


class Turns:
    """Several tasks of which only one is at work at a time, in an order that chance decides.

    At each step the one with the highest priority goes on; now and then it loses it, and the others overtake.
    """

    def __init__(self, chance: random.Random) -> None:
        self.log: list[str] = []
        self._chance = chance
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._who: ContextVar[str] = ContextVar("who")

    async def run(self, tasks: Mapping[str, Callable[[Step], Awaitable[Any]]]) -> dict[str, Any]:
        """What each task returns, or the exception that ended it."""
        priority = {name: self._chance.random() for name in tasks}
        running = {name: asyncio.create_task(self._named(name, task)) for name, task in tasks.items()}
        while not all(task.done() for task in running.values()):
            await self._settle()
            # Who waits for nothing any more was cancelled, because a neighbour failed.
            self._waiting = [each for each in self._waiting if not each[1].done()]
            if not self._waiting:
                continue
            name, go_on = max(self._waiting, key=lambda each: priority[each[0]])
            self._waiting.remove((name, go_on))
            if self._chance.random() < 0.2:
                priority[name] = self._chance.random()
            go_on.set_result(None)
        results = await asyncio.gather(*running.values(), return_exceptions=True)
        return dict(zip(running, results, strict=True))

    async def _named(self, name: str, task: Callable[[Step], Awaitable[Any]]) -> Any:
        self._who.set(name)  # tasks that this one makes inherit it
        await self._step("begins")
        return await task(self._step)

    async def _step(self, what: str) -> None:
        go_on = asyncio.get_running_loop().create_future()
        self._waiting.append((self._who.get(), go_on))
        await go_on
        self.log.append(f"{self._who.get()} {what}")

    async def _settle(self) -> None:
        """Until everybody waits: nothing here takes time, so a few rounds of the loop are enough."""
        for _ in range(20):
            await asyncio.sleep(0)
