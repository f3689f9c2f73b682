"""A lane's connection in a world: what `bridge.lane.Lane` asks of `bridge.amqp_connection.AmqpConnection`.

Bodies are written as the frame reader writes them: into the memory that the receiver names, some bytes at a time, and
not at all while there is none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from pamqp import commands

from bridge.amqp_connection import LaneClosed
from bridge.frames import Body
from tests.sim.process import current
from tests.sim.rabbit import NOTICED_S, Channel, Message

CLOSED: Final = 43
FAREWELL_S: Final = 2.0


class SimConnection:
    """One connection with one channel."""

    def __init__(self, on_message: Any, name: str, on_end: Callable[[bool], None] = lambda _: None) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._process = current[-1]
        self._world = self._process.world
        self._loop = self._process.loop
        self._channel: Channel | None = None
        self._prefetch = 0
        self._reply: asyncio.Future[Any] | None = None
        self._why: LaneClosed | None = None
        self._gone = asyncio.Event()
        self._wire: deque[Any] = deque()
        self._reading = False
        self._body: tuple[Body, bytes] | None = None
        """That is being received, and what is left of it."""

    @property
    def closed(self) -> LaneClosed | None:
        return self._why

    # What the lane does

    async def log_in(self, _address: Any) -> None:
        await asyncio.sleep(0)

    async def ask(self, method: Any, reply: type, channel: int = 1) -> Any:
        if self._why is not None:
            raise self._why
        match method:
            case commands.Basic.Qos():
                self._prefetch = method.prefetch_count
                return None
            case commands.Basic.Consume():
                await asyncio.sleep(0)
                self._process.opened(self)
                self._channel = self._process.rabbit.open(self, method.queue, self._prefetch)
                return None
        assert self._reply is None, "one question at a time"
        self.send(method)
        self._reply = self._loop.create_future()
        return await self._reply

    @property
    def now_s(self) -> float:
        return self._loop.time()

    def send(self, *methods: Any) -> None:
        if self._why is not None:
            raise self._why
        for method in methods:
            if self._channel is not None:
                self._channel.told(method)

    def proceed(self) -> None:
        if self._why is None and not self._reading and (self._body is not None or self._wire):
            self._read()

    async def close(self) -> None:
        if self._why is None:
            self.send(commands.Connection.Close(200, "done", 0, 0))
            try:
                async with asyncio.timeout(FAREWELL_S):
                    await self._gone.wait()
            except TimeoutError:
                self.abort("closed by us")
        await self._gone.wait()

    def abort(self, reason: str) -> None:
        self._fail(LaneClosed(reason))

    async def wait_gone(self) -> LaneClosed:
        await self._gone.wait()
        return self._why or LaneClosed("closed")

    # What the world does

    def arrives(self, what: Any) -> None:
        """From the broker, in order."""
        self._wire.append(what)
        if not self._reading and self._why is None:
            self._reading = True
            self._loop.call_soon(self._wake)

    def broker_closed(self) -> None:
        """The broker has closed it; we see that when we have read what came before."""
        self._loop.call_soon(self._fail, LaneClosed("the broker closed the connection"))

    def given_up(self) -> None:
        """The broker has missed our heartbeats."""
        if self._channel is not None and not self._channel.closed:
            self._channel.cut = True
            self._channel.notice()
            self.broker_closed()

    def lose(self) -> None:
        """Cut the wire: neither side knows. We find out by our heartbeats, the broker by its own."""
        if self._channel is not None and not self._channel.cut:
            self._channel.cut = True
            self._world.after(self._world.chance.uniform(0, NOTICED_S), self._channel.notice)
            self._world.after(self._world.chance.uniform(0, NOTICED_S), self._silent)

    def _silent(self) -> None:
        self._loop.call_soon(self._fail, LaneClosed("the broker was silent"))

    def process_ended(self) -> None:
        """The operating system closes it; of a machine that is gone the broker hears nothing."""
        if self._channel is not None and not self._channel.closed:
            self._channel.cut = True
            if self._world.chance.random() < 0.7:
                self._world.fly(CLOSED, self._channel.notice)
            else:
                self._world.after(self._world.chance.uniform(0, NOTICED_S), self._channel.notice)

    # Reading

    def _wake(self) -> None:
        self._reading = False
        self._read()

    def _read(self) -> None:
        """Take what is on the wire, until there is no room, or it is somebody else's turn."""
        if self._why is not None:
            return
        if self._body is None:
            if not self._wire:
                return
            what = self._wire.popleft()
            if not isinstance(what, tuple):
                self._method(what)
                self._again()
                return
            self._begin(*what)
        if self._body is not None and not self._fill(*self._body):
            return  # nothing is read until `proceed`
        self._again()

    def _again(self) -> None:
        if (self._wire or self._body is not None) and not self._reading and self._why is None:
            self._reading = True
            self._loop.call_soon(self._wake)

    def _begin(self, tag: int, message: Message) -> None:
        deliver = commands.Basic.Deliver("", tag, message.returns > 0, "", message.routing_key)
        self._body = self._on_message(deliver, len(message.body), message.properties), message.body

    def _fill(self, body: Body, rest: bytes) -> bool:
        """Write some of a body; False where it has no room."""
        room = body.room()
        if room is None:
            return False
        count = min(len(room), len(rest))
        if count > 1 and self._world.chance.random() < 0.3:
            count = self._world.chance.randint(1, count)
        room[:count] = rest[:count]
        self._body = (body, rest[count:]) if len(rest) > count else None
        body.filled(count)
        return True

    def _method(self, method: Any) -> None:
        if isinstance(method, commands.Connection.CloseOk):
            self._fail(LaneClosed("closed by us"), answered=True)
        elif self._reply is not None:
            reply, self._reply = self._reply, None
            if not reply.done():
                reply.set_result(method)

    def _fail(self, why: LaneClosed, *, answered: bool = False) -> None:
        if self._why is not None:
            return
        self._why = why
        if self._body is not None:
            self._body[0].lose(why)
        if self._channel is not None and not self._channel.cut:
            self._channel.cut = True
            if not answered:
                self._world.fly(CLOSED, self._channel.notice)
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(why)
        self._reply = None
        self._loop.call_soon(self._gone.set)
        self._on_end(answered)
