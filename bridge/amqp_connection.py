"""One connection to RabbitMQ with one channel, whose bodies are streamed: log-in, heartbeats, flow, farewell.

Any error closes it, for good: the broker then delivers again what was not settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import structlog
from pamqp import commands, frame, heartbeat
from pamqp.base import Frame
from pamqp.common import FieldTable

from bridge.amqp_address import AmqpAddress
from bridge.frames import FRAME_MAX_BYTES, Begin, Body, FrameError, FrameReader

_log = structlog.get_logger()
_Reply = TypeVar("_Reply", bound=Frame)
OnMessage = Callable[[Begin, int, commands.Basic.Properties], Body]

CHANNEL: Final = 1
CLOSE_TIMEOUT_S: Final = 2.0
"""How long a farewell may take; a body still on its way is not waited for."""
MISSED_HEARTBEATS_MAX: Final = 2

_PROTOCOL: Final = b"AMQP\x00\x00\x09\x01"
_HEARTBEAT: Final = frame.marshal(heartbeat.Heartbeat(), 0)
_CAPABILITIES: Final[FieldTable] = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
}


class LaneClosed(Exception):
    """The lane is gone, and the broker delivers again what was not settled; the text says why."""

    def __init__(self, reason: str, *, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        """AMQP's reply code, where the broker gave one."""


class AmqpConnection(asyncio.BufferedProtocol):
    """What asyncio and the frame reader call, and what a lane asks of it."""

    def __init__(self, on_message: OnMessage, name: str, on_end: Callable[[bool], None] = lambda _: None) -> None:
        """`on_end` is called once, with whether the broker has answered a farewell of ours."""
        self.on_message = on_message
        self._on_end = on_end
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(self, CHANNEL)
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Frame] | None = None
        self._paused = False
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._why: LaneClosed | None = None
        self._gone = asyncio.Event()

    @property
    def frame_max(self) -> int:
        """Bytes of the largest frame, as negotiated: for both directions."""
        return self._reader.frame_max

    @property
    def properties(self) -> bytes:
        """Flags and properties of the message that `on_message` is being told of, as they came."""
        return self._reader.properties

    @property
    def now_s(self) -> float:
        """When something was received last, in the event loop's clock."""
        return self._heard

    @property
    def closed(self) -> LaneClosed | None:
        """Why nothing can be sent any more; None while it can."""
        return self._why

    async def log_in(self, address: AmqpAddress) -> None:
        """From the first byte to an open channel. Raises LaneClosed."""
        self._live().write(_PROTOCOL)
        start = await self._expect(commands.Connection.Start)
        if address.mechanism not in start.mechanisms.split():
            raise LaneClosed(f"the broker offers {start.mechanisms}, not {address.mechanism}", code=403)
        properties: FieldTable = {
            "product": "BigResultHandler",
            "connection_name": self._name,
            "capabilities": _CAPABILITIES,
        }
        secret = address.response.get_secret_value()
        tune = await self.ask(
            commands.Connection.StartOk(properties, address.mechanism, secret, "en_US"), commands.Connection.Tune, 0
        )
        beat_s = min(tune.heartbeat or address.heartbeat_s, address.heartbeat_s)
        self._reader.frame_max = min(tune.frame_max or FRAME_MAX_BYTES, FRAME_MAX_BYTES)
        self.send(commands.Connection.TuneOk(tune.channel_max, self.frame_max, beat_s), channel=0)
        await self.ask(commands.Connection.Open(address.vhost), commands.Connection.OpenOk, 0)
        if beat_s:
            self._timer = self._loop.call_later(beat_s / 2, self._beat, beat_s)
        await self.ask(commands.Channel.Open(), commands.Channel.OpenOk)

    async def ask(self, method: Frame, reply: type[_Reply], channel: int = CHANNEL) -> _Reply:
        """Send a method and wait for its reply, one at a time. Raises LaneClosed."""
        assert self._reply is None, "the answer to one question would be taken for that to another"
        self.send(method, channel=channel)
        return await self._expect(reply)

    def send(self, *methods: Frame, channel: int = CHANNEL) -> None:
        """Send methods, with one system call. Raises LaneClosed."""
        self._live().write(b"".join(frame.marshal(method, channel) for method in methods))

    def proceed(self) -> None:
        """There is room for a body again."""
        if self._why is not None:
            return
        self._parse(self._reader.proceed)
        if self._paused and self._why is None and not self._reader.starved:
            self._paused = False
            self._heard = self._loop.time()
            self._live().resume_reading()

    async def close(self) -> None:
        """Say farewell and let go."""
        if self._why is None:
            self.send(commands.Connection.Close(200, "done", 0, 0), channel=0)
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._gone.wait()
            except TimeoutError:
                self.abort("closed by us")
        await self._gone.wait()

    def abort(self, reason: str) -> None:
        """Cut the connection; again is harmless."""
        self._fail(LaneClosed(reason))

    async def wait_gone(self) -> LaneClosed:
        """Until the connection is gone; returns why."""
        await self._gone.wait()
        return self._why or LaneClosed("closed")

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whoever wanted it."""
        self._fail(LaneClosed(f"the connection was lost: {exc!r}" if exc else "the broker closed the connection"))
        self._gone.set()

    def get_buffer(self, sizehint: int) -> Any:
        """Memory for the next bytes."""
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """They have come."""
        self._heard = self._loop.time()
        if self._why is None:
            self._parse(lambda: self._reader.received(nbytes))

    def eof_received(self) -> bool:
        """The broker will say no more: let the transport close itself."""
        return False

    # What the frame reader calls, besides `on_message`.

    def on_method(self, channel: int, method: Frame) -> None:
        """A reply that is waited for, or news from the broker."""
        match method:
            case commands.Connection.Close():
                self._farewell(commands.Connection.CloseOk(), 0, method)
            case commands.Channel.Close():
                self._farewell(commands.Channel.CloseOk(), channel, method)
            case commands.Connection.CloseOk():
                self._fail(LaneClosed("closed by us"), answered=True)
            case commands.Basic.Cancel():
                self.abort("the broker cancelled the consumer: its queue is gone or has moved")
            case commands.Connection.Blocked() | commands.Connection.Unblocked():
                _log.info("alarm of the broker", lane=self._name, on=isinstance(method, commands.Connection.Blocked))
            case _ if not self.answer(method):
                self.abort(f"nobody asked for {method.name}")

    def answer(self, method: Frame) -> bool:
        """Give a reply to whoever asked; False: nobody did."""
        asked, self._reply = self._reply, None
        if asked is not None and not asked.done():  # whoever asked may have given up
            asked.set_result(method)
        return asked is not None

    def _parse(self, step: Callable[[], None]) -> None:
        try:
            step()
        except FrameError as error:
            self.abort(str(error))
        except Exception as error:
            # Whoever called, it may be somebody who gave memory back: a lane must not stay open and paused for ever.
            self.abort(f"a mistake of ours: {error!r}")
            raise
        if self._reader.starved and not self._paused and self._why is None:
            self._paused = True
            self._live().pause_reading()

    async def _expect(self, reply: type[_Reply]) -> _Reply:
        if self._why is not None:
            raise self._why
        self._reply = self._loop.create_future()
        method = await self._reply
        if not isinstance(method, reply):
            raise LaneClosed(f"{method.name} came in place of {reply.name}")
        return method

    def _live(self) -> asyncio.Transport:
        if self._why is not None or self._transport is None:
            raise self._why or LaneClosed("not connected")
        return self._transport

    def _farewell(self, answer: Frame, channel: int, close: commands.Connection.Close | commands.Channel.Close) -> None:
        self.send(answer, channel=channel)
        self._fail(LaneClosed(f"{close.reply_code} {close.reply_text}", code=close.reply_code), flush=True)

    def _fail(self, why: LaneClosed, *, flush: bool = False, answered: bool = False) -> None:
        if self._why is not None:
            return
        self._why = why
        self._reader.end(why)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close() if flush else self._transport.abort()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(why)
        self._reply = None
        self._on_end(answered)

    def _beat(self, beat_s: float) -> None:
        # Silence says nothing while it is us who do not read.
        if not self._paused and self._loop.time() - self._heard > MISSED_HEARTBEATS_MAX * beat_s:
            self.abort(f"the broker was silent for more than {MISSED_HEARTBEATS_MAX} heartbeats of {beat_s:g} s")
            return
        self._live().write(_HEARTBEAT)
        self._timer = self._loop.call_later(beat_s / 2, self._beat, beat_s)
