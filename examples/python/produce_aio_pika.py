"""Send files as one big result with aio-pika: many payloads on their way at once, in bounded memory.

    BRH_AMQP_URL=amqp://user:password@host/vhost python produce_aio_pika.py T1 cashflows=big.csv log=run.log

Run it again after any failure: `T1.sent` remembers what the broker has confirmed. Without that file everything is sent
again, which is harmless: the same payload counts once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import aio_pika
from aio_pika.exceptions import AMQPError, DeliveryError

CHUNK_BYTES = int(os.environ.get("BRH_CHUNK_BYTES", 8 << 20))  # up to 256 MiB; the same in every run of a transaction
SMALL_BYTES = 256 << 10  # below this a payload belongs on `small.`
UNCONFIRMED = 8  # messages on their way at once: with chunks of 8 MiB some 64 MiB of memory
TRIES = 8  # for each message, with pauses of 1, 2, 4, ... at most 30 seconds


async def main() -> None:
    transaction, *pairs = sys.argv[1:]
    files = {series: Path(path) for series, path in (pair.split("=", 1) for pair in pairs)}
    for attempt in range(TRIES):
        try:
            return await send(transaction, files)
        except* (AMQPError, OSError) as lost:
            await pause(attempt, f"the connection was lost: {lost.exceptions[0]!r}")
    sys.exit("gave up: is RabbitMQ running, and was `brh setup` run?")


async def send(transaction: str, files: dict[str, Path]) -> None:
    journal = Path(f"{transaction}.sent")
    sent = set(journal.read_text().splitlines()) if journal.exists() else set()
    room = asyncio.Semaphore(UNCONFIRMED)
    async with await aio_pika.connect(os.environ["BRH_AMQP_URL"]) as connection:
        # on_return_raises: a message that no queue takes is an error, as one that the broker refuses is.
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("brh.in")
        with journal.open("a") as done:

            async def publish(name: str, routing_key: str, message: aio_pika.Message) -> None:
                try:
                    for attempt in range(TRIES):
                        try:
                            await exchange.publish(message, routing_key, mandatory=True)
                            print(name, file=done, flush=True)
                            return
                        except DeliveryError as error:
                            await pause(attempt, f"{name} was not taken: {error!r}")
                    sys.exit(f"gave up on {name}")
                finally:
                    room.release()

            async with asyncio.TaskGroup() as tasks:
                for name, routing_key, message in messages(transaction, files, sent):
                    await room.acquire()
                    tasks.create_task(publish(name, routing_key, message))


def messages(transaction: str, files: dict[str, Path], sent: set[str]) -> Iterator[tuple[str, str, aio_pika.Message]]:
    """Name, routing key and message of all that was not sent yet; a chunk is read when it is its turn."""

    def message(name: str, body: bytes, **properties: object) -> aio_pika.Message:
        return aio_pika.Message(
            body,
            correlation_id=transaction,
            message_id=f"{transaction}/{name}",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            **properties,
        )

    totals = {series: -(-path.stat().st_size // CHUNK_BYTES) for series, path in files.items()}
    if "header" not in sent:
        header = {"series": [{"type": series, "totalCount": total} for series, total in totals.items()]}
        body = json.dumps(header).encode()
        yield "header", "header.default", message("header", body, type="brh.header.v1", content_type="application/json")
    for series, path in files.items():
        with path.open("rb") as file:
            for ordinal in range(1, totals[series] + 1):
                if (name := f"{series}/{ordinal}") in sent:
                    continue
                file.seek((ordinal - 1) * CHUNK_BYTES)
                body = file.read(CHUNK_BYTES)
                lane = "small" if len(body) < SMALL_BYTES else "payload"
                headers = {"brh_series_type": series, "brh_ordinal": ordinal, "brh_total_count": totals[series]}
                yield name, f"{lane}.{series}", message(name, body, type="brh.payload.v1", headers=headers)


async def pause(attempt: int, why: str) -> None:
    print(f"again: {why}", file=sys.stderr, flush=True)
    await asyncio.sleep(min(30, 2**attempt))


if __name__ == "__main__":
    asyncio.run(main())
