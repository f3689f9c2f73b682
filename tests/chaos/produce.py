"""A producer: publishes what `load` plans, until it is told to end, and keeps the ledger. Knows only the contract.

Whatever the broker did not confirm is published again, on another connection, until it is confirmed. SIGTERM: begin no
new transaction, and end when all of those that were begun is confirmed.

    python -m tests.chaos.produce CONFIG
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPError, DeliveryError

from tests.chaos.ledger import LedgerWriter
from tests.chaos.load import Message, Plan, digest, plans

CONFIRM_S: Final = 30.0
"""Then the message counts as not confirmed."""
RECONNECT_S: Final = 0.3
UNCONFIRMED_MAX: Final = 64
UNCONFIRMED_MAX_BYTES: Final = 300 << 20


class Publisher:
    """One connection at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()
        self.reconnects = 0

    async def publish(self, message: aio_pika.Message, routing_key: str) -> None:
        """Return when the broker has confirmed it, however often that takes."""
        while True:
            exchange = await self._open()
            try:
                await exchange.publish(message, routing_key, mandatory=True, timeout=CONFIRM_S)
            except (AMQPError, DeliveryError, OSError, TimeoutError, RuntimeError):
                await self._drop(exchange)
            else:
                return

    async def _open(self) -> AbstractExchange:
        async with self._opening:
            while self._exchange is None:
                try:
                    async with asyncio.timeout(CONFIRM_S):
                        self._connection = await aio_pika.connect(self._url)
                        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                        self._exchange = await channel.get_exchange("brh.in", ensure=False)
                except (AMQPError, OSError, TimeoutError, RuntimeError):
                    await asyncio.sleep(RECONNECT_S)
            return self._exchange

    async def _drop(self, exchange: AbstractExchange) -> None:
        """Give a connection up, unless somebody has."""
        if exchange is not self._exchange:
            return
        self._exchange, connection = None, self._connection
        self.reconnects += 1
        if connection is not None:
            try:
                async with asyncio.timeout(1):
                    await connection.close()
            except (AMQPError, OSError, TimeoutError, RuntimeError):
                return  # it was broken, which is why it is dropped


class Room:
    """A bound on what is unconfirmed."""

    def __init__(self) -> None:
        self._messages, self._bytes = 0, 0
        self._changed = asyncio.Condition()

    async def take(self, size: int) -> None:
        def fits() -> bool:
            return self._messages < UNCONFIRMED_MAX and self._bytes + size <= UNCONFIRMED_MAX_BYTES

        async with self._changed:
            await self._changed.wait_for(fits)
            self._messages, self._bytes = self._messages + 1, self._bytes + size

    async def give(self, size: int) -> None:
        async with self._changed:
            self._messages, self._bytes = self._messages - 1, self._bytes - size
            self._changed.notify_all()


class Producer:
    """Transactions, several at a time."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._ledger = LedgerWriter(Path(config["ledger"]))
        self._publisher = Publisher(config["amqp_url"])
        self._numbers = count(1)
        self._room = Room()
        self._ending = asyncio.Event()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ending.set)
        config = self._config
        begun = plans(config["seed"], huge_every=config["huge_every"], reply_to=config["reply_to"])
        places = asyncio.Semaphore(config["at_once"])
        bytes_left = config["bytes_max"]
        async with asyncio.TaskGroup() as tasks:
            while not self._ending.is_set():
                await places.acquire()
                made = next(begun)
                bytes_left -= made.size
                if bytes_left < 0:
                    break
                tasks.create_task(self._transaction(made, places))
                await self._pause(1 / config["rate"])
        self._ledger.write([{"op": "done", "at": time.time(), "reconnects": self._publisher.reconnects}], durable=True)

    async def _transaction(self, made: Plan, places: asyncio.Semaphore) -> None:
        numbered = [(next(self._numbers), message) for message in made.messages]
        records = await asyncio.to_thread(lambda: [_record(number, message) for number, message in numbered])
        self._ledger.write(records, durable=True)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, message in numbered:
                    if not message.late_s:
                        await self._room.take(message.size)
                        tasks.create_task(self._publish(number, message))
        finally:
            places.release()
        for number, message in sorted(numbered, key=lambda each: each[1].late_s):
            if message.late_s:
                await self._pause(message.late_s / 4)
                await self._room.take(message.size)
                await self._publish(number, message)

    async def _publish(self, number: int, message: Message) -> None:
        try:
            content = message.body() if message.size < 1 << 20 else await asyncio.to_thread(message.body)
            began = time.time()
            await self._publisher.publish(_amqp(number, message, content), message.routing_key)
            self._ledger.write([{"op": "confirmed", "m": number, "began": began, "at": time.time()}], durable=False)
        finally:
            await self._room.give(message.size)

    async def _pause(self, seconds: float) -> None:
        """Shorter, when there is nothing to wait for any more."""
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return


def _record(number: int, message: Message) -> dict[str, Any]:
    record = {"op": "send", "m": number, "t": message.transaction, "kind": message.kind, "at": time.time()}
    record |= {"size": message.size, "sha": digest(message.body()), "reply_to": message.reply_to}
    if message.kind == "header":
        return record | {"header": json.loads(message.content)}
    return record | {"s": message.series, "o": message.ordinal, "n": message.total, "code": message.code}


def _amqp(number: int, message: Message, content: bytes) -> aio_pika.Message:
    headers: dict[str, Any] = {}
    if message.kind != "header":
        headers = {
            "brh_series_type": message.series,
            "brh_ordinal": message.ordinal,
            "brh_total_count": message.total,
            "brh_sha256": digest(b"other" if message.code == "digest-mismatch" else content),
            "brh_content_length": message.size + (message.code == "length-mismatch"),
        }
    kind = "header" if message.kind == "header" else "payload"
    return aio_pika.Message(
        content,
        type="something" if message.code == "bad-type" else f"brh.{kind}.v1",
        correlation_id=message.transaction,
        message_id=f"{message.transaction}/{number}",
        app_id="chaos",
        content_type="application/json" if kind == "header" else None,
        reply_to=message.reply_to,
        headers=headers,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


if __name__ == "__main__":
    asyncio.run(Producer(json.loads(Path(sys.argv[1]).read_text())).run())
