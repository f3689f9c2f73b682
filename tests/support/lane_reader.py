"""A lane's other end against a real broker: reads bodies as the intake does, fast or with stalls, and keeps digests."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence

import aio_pika
from pydantic import SecretStr

from bridge.amqp_address import AmqpAddress
from bridge.frames import Body, DroppedBody
from bridge.inflow import StreamedBody
from bridge.lane import Incoming, Lane, LaneClosed
from bridge.layout import MIB
from bridge.memory import Grant, Memory, Request


class WatchedMemory(Memory):
    """Remembers the most that was held."""

    most = 0

    def _grant(self, request: Request) -> Grant:
        grant = super()._grant(request)
        self.most = max(self.most, self.held_bytes)
        return grant


class Reader:
    """Takes messages of any lane, and acknowledges each when all its bytes were read and given back."""

    def __init__(
        self,
        memory: Memory,
        *,
        block_bytes: int = 8 * MIB,
        blocks_max: int = 2,
        stalls: bool = False,
        over_s: float = 0,
    ) -> None:
        """`over_s`: how long to take for each body, at an even pace."""
        self.memory = memory
        self.digests: list[str] = []
        """Of bodies that came whole, in the order in which they were complete."""
        self.incoming: list[Incoming] = []
        self.lost: list[LaneClosed] = []
        self.acks = True
        self._block_bytes, self._blocks_max, self._stalls, self._over_s = block_bytes, blocks_max, stalls, over_s
        self._chance = random.Random(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, incoming: Incoming) -> Body:
        self.incoming.append(incoming)
        if not incoming.size:
            self._done(incoming, hashlib.sha256())
            return DroppedBody()
        body = StreamedBody(
            incoming.size,
            self._block_bytes,
            memory=self.memory,
            blocks_max=self._blocks_max,
            proceed=incoming.lane.proceed,
        )
        task = asyncio.create_task(self._read(incoming, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return body

    async def finished(self) -> None:
        """Nobody reads any more, and everything was given back."""
        await asyncio.gather(*self._tasks)
        assert self.memory.held_bytes == 0

    async def _read(self, incoming: Incoming, body: StreamedBody) -> None:
        digest = hashlib.sha256()
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            async for block in body:
                due += self._over_s * block.size / incoming.size
                await asyncio.sleep(due - loop.time())
                if self._stalls:
                    await asyncio.sleep(self._chance.choice([0, 0, 0.001, 0.02]))  # this is what a slow storage does
                for piece in block.pieces:
                    digest.update(piece)
                block.release()
            self._done(incoming, digest)
        except LaneClosed as error:
            self.lost.append(error)
        finally:
            body.end()

    def _done(self, incoming: Incoming, digest: hashlib._Hash) -> None:
        self.digests.append(digest.hexdigest())
        if self.acks:
            incoming.lane.ack([incoming.tag])


def content_of(size: int) -> bytes:
    part = random.Random(size).randbytes(min(size, 8 * MIB + 1))  # a length that no block and no frame divides
    return (part * (size // max(1, len(part)) + 1))[:size]


def digests_of(sizes: Sequence[int]) -> list[str]:
    return [hashlib.sha256(content_of(size)).hexdigest() for size in sizes]


async def publish(url: str, queue: str, sizes: Sequence[int]) -> None:
    """Messages of these sizes, confirmed."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        for size in sizes:
            message = aio_pika.Message(content_of(size), delivery_mode=2)
            await channel.default_exchange.publish(message, queue, mandatory=True)


async def declare(url: str, queue: str, dead: str = "") -> None:
    """A queue as those of payloads are, whose rejected messages go to another."""
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 50}
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        if dead:
            await channel.declare_queue(dead, durable=True, arguments={"x-queue-type": "quorum"})
            arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
        await channel.declare_queue(queue, durable=True, arguments=arguments)


async def depth(url: str, queue: str) -> int:
    """Messages that are ready."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0


async def delete(url: str, queue: str) -> None:
    async with await aio_pika.connect(url) as connection:
        await (await connection.channel()).queue_delete(queue)


async def open_lane(url: str, queue: str, reader: Reader, *, prefetch: int = 1, name: str = "lane") -> Lane:
    address = AmqpAddress.parse(SecretStr(url))
    return await Lane.open(address, queue, prefetch=prefetch, accept=reader.accept, name=name)
