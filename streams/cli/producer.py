"""A reference producer: sends the series of a transaction to RabbitMQ as the contract wants it.

One connection of its own, publisher confirms, `mandatory`, persistent messages, and a bound on what is unconfirmed. A
payload is read when it is its turn, so memory follows from that bound and one payload beyond it, of which the client
library makes copies: 120 MB of RSS with payloads of 8 MiB, 330 MB with 50 MB (measured, aiormq 7.2).

Sending the same again is harmless: what has arrived is absorbed as a duplicate. That is also what to do after any
error here, because a lost confirmation does not tell whether the message arrived.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aio_pika
import msgspec
from aio_pika.abc import AbstractExchange
from msgspec.structs import replace

from bridge.contract.inbound import SMALL_PAYLOAD_BYTES
from bridge.topology import INBOUND_EXCHANGE
from streams.cli.broker import AGAIN, opened
from streams.cli.errors import CliError
from streams.cli.missing import Missing
from streams.cli.payloads import Payload, Source, check, header_message, payload_message, payloads, plan

UNCONFIRMED_MAX_BYTES: Final = 64 << 20
UNCONFIRMED_MAX: Final = 1_000
THREAD_FROM_BYTES: Final = 256 << 10
"""From this size reading and hashing leave the event loop; below, the change of thread costs more than the work."""


class Progress(msgspec.Struct, frozen=True):
    """How far a transmission is: what the broker has confirmed, of all payload messages."""

    messages: int
    messages_of: int
    bytes: int
    bytes_of: int


class SeriesSent(msgspec.Struct, frozen=True, rename="camel"):
    """One series of a transmission."""

    series_type: str
    total_count: int
    bytes: int


class SendSummary(msgspec.Struct, frozen=True, rename="camel"):
    """What was sent, and confirmed by the broker."""

    transaction_id: str
    transaction_type: str
    series: tuple[SeriesSent, ...]
    payloads: int
    """Messages with duplicates."""
    duplicates: int
    bytes: int
    """With duplicates."""
    seconds: float

    def plus(self, other: SendSummary) -> SendSummary:
        """Both together, of the same result."""
        return replace(
            self,
            payloads=self.payloads + other.payloads,
            duplicates=self.duplicates + other.duplicates,
            bytes=self.bytes + other.bytes,
            seconds=round(self.seconds + other.seconds, 3),
        )


async def send(
    amqp_url: str,
    transaction: str,
    series: Mapping[str, Source],
    *,
    transaction_type: str = "default",
    shuffle: int | None = None,
    header_last: bool = False,
    duplicates: float = 0.0,
    only: Missing | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SendSummary:
    """Send a whole transaction, or what of it is missing, and return when the broker has confirmed all of it.

    Args:
        amqp_url: of the broker.
        transaction: id.
        series: type of each series, and where its payloads come from.
        transaction_type: for the header.
        shuffle: seed of the order of all payloads; None: series after series, ordinal after ordinal.
        header_last: send the header when all payloads are confirmed, instead of before them.
        duplicates: this share of the payloads is sent twice, 0 to 1.
        only: what to send of it; None: everything.
        on_progress: called after each confirmation.

    Raises:
        CliError: the contract forbids it (then nothing was sent), the broker cannot be reached, it did not take a
            message, or a source could not be read.
    """
    check(transaction, transaction_type, series, duplicates)
    started_s = time.monotonic()
    counts = {name: source.total_count for name, source in series.items()}
    order = plan(counts, shuffle, duplicates, only.ordinals if only else None)
    with_header = only is None or only.header
    confirmed_bytes = 0
    if order or with_header:
        async with _exchange(amqp_url) as exchange:
            sender = _Sender(exchange, transaction, series, len(order), on_progress)
            if with_header and not header_last:
                await sender.header(transaction_type, counts)
            await sender.run(payloads(order, counts))
            if with_header and header_last:
                await sender.header(transaction_type, counts)
            confirmed_bytes = sender.confirmed_bytes
    sent = tuple(SeriesSent(name, source.total_count, source.size) for name, source in series.items())
    duplicated, took_s = len(order) - len(set(order)), round(time.monotonic() - started_s, 3)
    return SendSummary(transaction, transaction_type, sent, len(order), duplicated, confirmed_bytes, took_s)


class _Sender:
    """Payloads on their way, as many at once as the bounds allow."""

    def __init__(
        self,
        exchange: AbstractExchange,
        transaction: str,
        series: Mapping[str, Source],
        messages: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._exchange = exchange
        self._transaction = transaction
        self._series = series
        self._messages = messages
        self._on_progress = on_progress
        payloads_of = max(1, sum(source.total_count for source in series.values()))
        self._bytes_of = sum(source.size for source in series.values()) * min(messages, payloads_of) // payloads_of
        self._room = asyncio.Condition()
        self._unconfirmed = 0
        self._unconfirmed_bytes = 0
        self._confirmed = 0
        self.confirmed_bytes = 0

    async def header(self, transaction_type: str, counts: Mapping[str, int]) -> None:
        header = header_message(self._transaction, transaction_type, counts)
        await self._exchange.publish(header, f"header.{transaction_type}")

    async def run(self, payloads: Iterator[Payload]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for payload in payloads:
                    source = self._series[payload.series]
                    if source.size < THREAD_FROM_BYTES * source.total_count:
                        message = self._message(source, payload)
                    else:
                        message = await asyncio.to_thread(self._message, source, payload)
                    await self._wait_for_room(message.body_size)
                    tasks.create_task(self._publish(payload, message))
        except BaseExceptionGroup as group:
            raise _first(group) from group

    def _message(self, source: Source, payload: Payload) -> aio_pika.Message:
        body = source.chunk(payload.ordinal)
        return payload_message(self._transaction, payload, source.total_count, body)

    async def _wait_for_room(self, size: int) -> None:
        async with self._room:
            await self._room.wait_for(
                # Alone it may go whatever its size, or a payload above the bound would never be sent.
                lambda: (
                    self._unconfirmed == 0
                    or (self._unconfirmed < UNCONFIRMED_MAX and self._unconfirmed_bytes + size <= UNCONFIRMED_MAX_BYTES)
                )
            )
            self._unconfirmed += 1
            self._unconfirmed_bytes += size

    async def _publish(self, payload: Payload, message: aio_pika.Message) -> None:
        lane = "small" if message.body_size < SMALL_PAYLOAD_BYTES else "payload"
        await self._exchange.publish(message, f"{lane}.{payload.series}")
        async with self._room:
            self._unconfirmed -= 1
            self._unconfirmed_bytes -= message.body_size
            self._confirmed += 1
            self.confirmed_bytes += message.body_size
            self._room.notify_all()
        if self._on_progress:
            bytes_of = max(self._bytes_of, self.confirmed_bytes)
            self._on_progress(Progress(self._confirmed, self._messages, self.confirmed_bytes, bytes_of))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    # One failure cancels the others, so the group would only hide which one it was.
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


@asynccontextmanager
async def _exchange(amqp_url: str) -> AsyncIterator[AbstractExchange]:
    """The exchange that takes results. Raises CliError, also for what is done with it."""
    try:
        async with opened(amqp_url, "brh send") as channel:
            yield await channel.get_exchange(INBOUND_EXCHANGE, ensure=True)
    except OSError as error:
        raise CliError(f"The source cannot be read: {error}", code="source", remedy=AGAIN) from error
