"""Send files as one big result with pika: the simplest right producer, one message at a time.

    BRH_AMQP_URL=amqp://user:password@host/vhost python produce_pika.py T1 cashflows=big.csv log=run.log

Run it again after any failure: `T1.sent` remembers what the broker has confirmed. Without that file everything is sent
again, which is harmless: the same payload counts once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pika
from pika.exceptions import AMQPChannelError, AMQPConnectionError, NackError, UnroutableError

CHUNK_BYTES = int(os.environ.get("BRH_CHUNK_BYTES", 8 << 20))  # up to 256 MiB; the same in every run of a transaction
SMALL_BYTES = 256 << 10  # below this a payload belongs on `small.`
TRIES = 8  # for each message, with pauses of 1, 2, 4, ... at most 30 seconds


def main() -> None:
    transaction, *pairs = sys.argv[1:]
    files = {series: Path(path) for series, path in (pair.split("=", 1) for pair in pairs)}
    for attempt in range(TRIES):
        try:
            return send(transaction, files)
        except (AMQPConnectionError, AMQPChannelError) as error:
            pause(attempt, f"the connection was lost: {error!r}")
    sys.exit("gave up: is RabbitMQ running, and was `brh setup` run?")


def send(transaction: str, files: dict[str, Path]) -> None:
    journal = Path(f"{transaction}.sent")
    sent = set(journal.read_text().splitlines()) if journal.exists() else set()
    with (
        pika.BlockingConnection(pika.URLParameters(os.environ["BRH_AMQP_URL"])) as connection,
        journal.open("a") as done,
    ):
        channel = connection.channel()
        channel.confirm_delivery()  # from now on basic_publish returns when the broker has the message safe

        def publish(name: str, routing_key: str, body: bytes, **properties: object) -> None:
            if name in sent:
                return
            message = pika.BasicProperties(
                correlation_id=transaction, message_id=f"{transaction}/{name}", delivery_mode=2, **properties
            )
            for attempt in range(TRIES):
                try:
                    channel.basic_publish("brh.in", routing_key, body, message, mandatory=True)
                    break
                except (NackError, UnroutableError) as error:
                    pause(attempt, f"{name} was not taken: {error!r}")
            else:
                sys.exit(f"gave up on {name}")
            print(name, file=done, flush=True)

        totals = {series: -(-path.stat().st_size // CHUNK_BYTES) for series, path in files.items()}
        header = {"series": [{"type": series, "totalCount": total} for series, total in totals.items()]}
        publish(
            "header",
            "header.default",
            json.dumps(header).encode(),
            type="brh.header.v1",
            content_type="application/json",
        )
        for series, path in files.items():
            with path.open("rb") as file:
                for ordinal in range(1, totals[series] + 1):
                    body = file.read(CHUNK_BYTES)
                    lane = "small" if len(body) < SMALL_BYTES else "payload"
                    headers = {"brh_series_type": series, "brh_ordinal": ordinal, "brh_total_count": totals[series]}
                    publish(f"{series}/{ordinal}", f"{lane}.{series}", body, type="brh.payload.v1", headers=headers)


def pause(attempt: int, why: str) -> None:
    print(f"again: {why}", file=sys.stderr, flush=True)
    time.sleep(min(30, 2**attempt))


if __name__ == "__main__":
    main()
