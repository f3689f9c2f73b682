"""A broker that says what a test tells it to, and remembers what it was told.

async with ScriptedBroker() as broker:
    lane = await broker.open_lane(Inbox())
    broker.send(*message(1, b"content"))
    await eventually(lambda: broker.told(commands.Basic.Ack))
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, Final, Self, TypeVar

from pamqp import body, commands, frame, header, heartbeat
from pamqp.base import Frame
from pydantic import SecretStr

from bridge.amqp_address import AmqpAddress
from bridge.frames import FRAME_MAX_BYTES, Body
from bridge.lane import Incoming, Lane

_Method = TypeVar("_Method", bound=Frame)
BODY_MAX: Final = FRAME_MAX_BYTES - 8
"""Bytes of a body in one frame."""
HEARTBEAT: Final = frame.marshal(heartbeat.Heartbeat(), 0)


def message(tag: int, content: bytes, frame_bytes: int = BODY_MAX, **properties: Any) -> list[bytes]:
    """A delivery as frames."""
    deliver = commands.Basic.Deliver("lane", tag, False, "exchange", "key")
    head = header.ContentHeader(0, len(content), commands.Basic.Properties(**properties))
    parts = [content[start : start + frame_bytes] for start in range(0, len(content), frame_bytes)]
    return [frame.marshal(each, 1) for each in (deliver, head, *map(body.ContentBody, parts))]


async def eventually(condition: Callable[[], object], timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s:g} s"
        await asyncio.sleep(0.002)


class KeptBody:
    """Keeps a body; has no room while it is told to stall."""

    def __init__(self, incoming: Incoming, inbox: Inbox) -> None:
        self.incoming = incoming
        self.tag = incoming.tag
        self.bytes = bytearray(incoming.size)
        self.at = 0
        self.lost: Exception | None = None
        self._inbox = inbox

    def room(self) -> memoryview | None:
        return None if self._inbox.stalls else memoryview(self.bytes)[self.at :]

    def filled(self, count: int) -> None:
        self.at += count

    def lose(self, why: Exception) -> None:
        self.lost = why

    @property
    def whole(self) -> bool:
        return self.at == len(self.bytes)


class Inbox:
    """Takes every message."""

    def __init__(self) -> None:
        self.bodies: list[KeptBody] = []
        self.stalls = False

    def accept(self, incoming: Incoming) -> Body:
        self.bodies.append(KeptBody(incoming, self))
        return self.bodies[-1]

    def has(self, count: int) -> bool:
        """So many messages are there, whole."""
        return sum(each.whole for each in self.bodies) == count


class ScriptedBroker:
    """One listener; every connection is answered from `replies`, and told what the test sends."""

    def __init__(
        self,
        *,
        mechanisms: str = "PLAIN EXTERNAL",
        frame_max: int = FRAME_MAX_BYTES,
        heartbeat_s: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        properties = {"product": "a script"}
        self.greeting: bytes | None = frame.marshal(commands.Connection.Start(0, 9, properties, mechanisms, "en_US"), 0)
        """None: not a word."""
        self.replies: dict[type[Frame], Frame | bytes | None] = {
            commands.Connection.StartOk: commands.Connection.Tune(2_047, frame_max, heartbeat_s),
            commands.Connection.Open: commands.Connection.OpenOk(),
            commands.Connection.Close: commands.Connection.CloseOk(),
            commands.Channel.Open: commands.Channel.OpenOk(),
            commands.Basic.Qos: commands.Basic.QosOk(),
            commands.Basic.Consume: commands.Basic.ConsumeOk("lane"),
        }
        self._tls = tls
        self.methods: list[Frame] = []
        """What clients said, heartbeats aside."""
        self.heartbeats = 0
        self.connections = 0
        self.gone = 0
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await eventually(lambda: self.gone == self.connections)

    def address(self, query: str = "heartbeat=0", *, scheme: str = "amqp") -> AmqpAddress:
        return AmqpAddress.parse(SecretStr(f"{scheme}://me:secret@localhost:{self.port}/brh?{query}"))

    async def open_lane(self, inbox: Inbox, query: str = "heartbeat=0", **options: Any) -> Lane:
        address = self.address(query, **options)
        return await Lane.open(address, "queue", prefetch=10, accept=inbox.accept, name="lane")

    def send(self, *frames: bytes) -> None:
        assert self._writer is not None
        self._writer.write(b"".join(frames))

    def say(self, method: Frame, channel: int = 1) -> None:
        self.send(frame.marshal(method, channel))

    def cut(self, *, reset: bool = False) -> None:
        """End the connection, or break it."""
        if self._writer is not None:
            if reset:
                linger = struct.pack("ii", 1, 0)
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.close()

    def told(self, kind: type[_Method]) -> list[_Method]:
        """The methods of one kind that clients sent."""
        return [method for method in self.methods if isinstance(method, kind)]

    @property
    def settled(self) -> list[tuple[str, int, bool]]:
        """Acknowledgements and rejections: name, tag, and whether all up to it are meant."""
        return [
            (method.name.partition(".")[2], method.delivery_tag, getattr(method, "multiple", False))
            for method in self.methods
            if isinstance(method, commands.Basic.Ack | commands.Basic.Reject | commands.Basic.Nack)
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.gone += 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == b"AMQP\x00\x00\x09\x01"
        if self.greeting is not None:
            writer.write(self.greeting)
        while True:
            prefix = await reader.readexactly(7)
            rest = await reader.readexactly(int.from_bytes(prefix[3:], "big") + 1)
            _, channel, told = frame.unmarshal(prefix + rest)
            if isinstance(told, heartbeat.Heartbeat):
                self.heartbeats += 1
                continue
            assert isinstance(told, Frame)
            self.methods.append(told)
            reply = self.replies.get(type(told))
            if isinstance(reply, bytes):
                writer.write(reply)
            elif reply is not None:
                writer.write(frame.marshal(reply, 0 if isinstance(told, commands.Connection.Close) else channel))
