"""A broker with one queue of letters that keeps what is published, and fails where a test tells it to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from pamqp import body, commands, frame, header

from tests.support.scripted_broker import BODY_MAX, ScriptedBroker


class Letter(NamedTuple):
    properties: dict[str, Any]
    content: bytes


class Published(NamedTuple):
    exchange: str
    routing_key: str
    properties: commands.Basic.Properties
    content: bytes


class Cut(Exception):
    """The connection ends here."""


Answer = Callable[[Published], list[Any]]


def confirm(_: Published) -> list[Any]:
    return [commands.Basic.Ack(1)]


class LetterBroker(ScriptedBroker):
    """`letters` wait; one that is not acknowledged when its connection ends waits again, in front."""

    def __init__(self, *letters: Letter) -> None:
        super().__init__()
        self.replies[commands.Confirm.Select] = commands.Confirm.SelectOk()
        self.replies[commands.Queue.Declare] = commands.Queue.DeclareOk("brh.rejected", 0, 0)
        self.letters = deque(letters)
        self.published: list[Published] = []
        self.acked: list[Letter] = []
        self.answer: Answer = confirm
        self.body_frames = 0
        """Of what is published; `cut_at` is compared with it."""
        self.cut_at: int | None = None
        """The connection ends when so many of them have come."""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        try:
            await self._talk(reader, writer, connection)
        except Cut:
            writer.transport.abort()
        finally:
            self.letters.extendleft(reversed(connection.unacked.values()))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection) -> None:
        await reader.readexactly(8)
        assert self.greeting is not None
        writer.write(self.greeting)
        while True:
            prefix = await reader.readexactly(7)
            rest = await reader.readexactly(int.from_bytes(prefix[3:], "big") + 1)
            _, channel, told = frame.unmarshal(prefix + rest)
            if not connection.take(told):
                self.methods.append(told)  # type: ignore[arg-type]  # a method, as nothing else is left
                reply = self.replies.get(type(told))  # type: ignore[arg-type]
                if reply is not None:
                    assert not isinstance(reply, bytes)
                    writer.write(frame.marshal(reply, channel))
            await writer.drain()


class _Connection:
    def __init__(self, broker: LetterBroker, writer: asyncio.StreamWriter) -> None:
        self.unacked: dict[int, Letter] = {}
        self._broker = broker
        self._writer = writer
        self._tag = 0
        self._publish = commands.Basic.Publish()
        self._head = header.ContentHeader()
        self._content = b""

    def take(self, told: object) -> bool:
        """Whether it was about letters."""
        match told:
            case commands.Basic.Get():
                self._get()
            case commands.Basic.Ack():
                self._broker.acked.append(self.unacked.pop(told.delivery_tag or 0))
            case commands.Basic.Publish():
                assert told.mandatory
                self._publish, self._content = told, b""
            case header.ContentHeader():
                self._head = told
                self._whole()
            case body.ContentBody():
                self._broker.body_frames += 1
                self._content += told.value
                self._whole()
                if self._broker.body_frames == self._broker.cut_at:
                    raise Cut
            case _:
                return False
        return True

    def _get(self) -> None:
        if not self._broker.letters:
            self._say(commands.Basic.GetEmpty())
            return
        letter = self._broker.letters.popleft()
        self._tag += 1
        self.unacked[self._tag] = letter
        self._say(commands.Basic.GetOk(self._tag, False, "brh.dead", "key", len(self._broker.letters)))
        head = header.ContentHeader(0, len(letter.content), commands.Basic.Properties(**letter.properties))
        parts = [letter.content[at : at + BODY_MAX] for at in range(0, len(letter.content), BODY_MAX)]
        for each in (head, *map(body.ContentBody, parts)):
            self._say(each)

    def _whole(self) -> None:
        if len(self._content) < self._head.body_size:
            return
        publish = self._publish
        done = Published(publish.exchange, publish.routing_key, self._head.properties, self._content)
        for each in self._broker.answer(done):
            if each is Cut:
                raise Cut
            if isinstance(each, commands.Basic.Ack):
                self._broker.published.append(done)
            self._say(each)

    def _say(self, what: Any) -> None:
        self._writer.write(frame.marshal(what, 1))
