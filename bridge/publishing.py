"""A connection that publishes one message at a time, whose body is streamed: written as it comes, held nowhere.

The other AMQP library of this process wants a body whole. Here memory is one piece of the caller's and what the
transport has not written yet, whatever the size of the message. A message is confirmed, or it is not there: what is
cut before its last byte the broker forgets. Lanes stay free of it, because a broker in alarm stops reading from
connections that publish.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Final

from pamqp import commands
from pamqp.base import Frame

from bridge.amqp_address import AmqpAddress
from bridge.amqp_connection import CHANNEL, AmqpConnection
from bridge.frames import Begin, Body, FrameError
from bridge.lane import OPEN_TIMEOUT_S

_PREFIX: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">HHQ")
_HEADER, _BODY, _BASIC, _END = 2, 3, 60, b"\xce"
_FRAME_OVERHEAD: Final = _PREFIX.size + len(_END)


class NotTaken(Exception):
    """The broker did not take a message: no queue is bound for it, or a queue refused it. The text says which."""


class Publishing(AmqpConnection):
    """One connection in confirm mode; `Publishing.open` makes one that is ready."""

    def __init__(self, name: str, has_room: Callable[[], None]) -> None:
        """`has_room` is called when `full` is over, and when the connection has ended."""
        super().__init__(_refuse, name, lambda _: has_room())
        self._has_room = has_room
        self._confirmed: asyncio.Future[None] | None = None
        self._full = False

    @classmethod
    async def open(cls, address: AmqpAddress, name: str, has_room: Callable[[], None]) -> Publishing:
        """Connect and log in. Raises LaneClosed, OSError."""
        connection = cls(name, has_room)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, address.host, address.port, ssl=address.tls
                )
                await connection.log_in(address)
                await connection.ask(commands.Confirm.Select(), commands.Confirm.SelectOk)
        except BaseException:
            connection.abort("could not be opened")
            raise
        return connection

    @property
    def full(self) -> bool:
        """More has been written than the broker takes: wait for `has_room`."""
        return self._full and self.closed is None

    def begin(self, exchange: str, routing_key: str, properties: bytes, size: int) -> None:
        """Begin a persistent, mandatory message of `size` bytes; `write` its body, then wait for `confirmed`.

        Raises LaneClosed, and NotTaken when its properties do not fit into a frame.
        """
        assert self._confirmed is None, "the message before is not confirmed yet"
        content = _CONTENT.pack(_BASIC, 0, size) + properties
        if len(content) + _FRAME_OVERHEAD > self.frame_max:
            raise NotTaken(f"its properties have {len(properties)} bytes, more than a frame holds")
        self._confirmed = asyncio.get_running_loop().create_future()
        self.send(commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True))
        self._put(_HEADER, content)

    def write(self, piece: memoryview) -> None:
        """The next bytes of the body, which may be used again at once. Nothing, when the connection has ended."""
        most = self.frame_max - _FRAME_OVERHEAD
        for start in range(0, len(piece), most):
            if self.closed is not None:
                return
            self._put(_BODY, piece[start : start + most])

    async def confirmed(self) -> None:
        """Until the broker has the message. Raises NotTaken, and LaneClosed: nobody knows whether it has."""
        assert self._confirmed is not None
        gone = asyncio.create_task(self.wait_gone())
        waiting: set[asyncio.Future[Any]] = {gone, self._confirmed}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not self._confirmed.done():
                raise gone.result()
            self._confirmed.result()
        finally:
            gone.cancel()
            self._confirmed = None

    def pause_writing(self) -> None:
        """What asyncio calls when the broker does not keep up."""
        self._full = True

    def resume_writing(self) -> None:
        """What asyncio calls when it does again."""
        self._full = False
        self._has_room()

    def on_method(self, channel: int, method: Frame) -> None:
        """A confirmation, or what every connection hears."""
        waiting = self._confirmed
        match method:
            case commands.Basic.Return() if waiting is not None and not waiting.done():
                waiting.set_exception(NotTaken(f"{method.reply_code} {method.reply_text}"))
                # The message itself comes behind, and nobody reads it.
                self.abort("a message was returned")
            case commands.Basic.Ack() if waiting is not None and not waiting.done():
                waiting.set_result(None)
            case commands.Basic.Nack() if waiting is not None and not waiting.done():
                waiting.set_exception(NotTaken("a queue refused it"))
            case _:
                super().on_method(channel, method)

    def _put(self, kind: int, payload: bytes | memoryview) -> None:
        self._live().write(b"".join((_PREFIX.pack(kind, CHANNEL, len(payload)), payload, _END)))


def _refuse(_: Begin, __: int, ___: commands.Basic.Properties) -> Body:
    raise FrameError("a message that nobody asked for")
