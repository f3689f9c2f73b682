"""Hear of outcomes and act on each one once, with pika; what was done is remembered in SQLite.

    BRH_AMQP_URL=amqp://user:password@host/vhost python consume_notifications.py seen.db [QUEUE]

Notifications come at least once, and every copy has the same (`source`, `id`). So the pair is kept in the same
database transaction as the work, and the message is acknowledged after that: whenever this process dies, nothing is
lost and nothing is done twice. Work that cannot be part of that transaction has to be harmless when it is done twice.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError

RECONNECT_S = 5


def act(database: sqlite3.Connection, event: dict[str, Any]) -> None:
    """Whatever is to happen once; here a line is kept and printed. It is part of the database transaction."""
    data = event["data"]
    database.execute("INSERT INTO results VALUES (?, ?)", (data["transactionId"], data["outcome"]))
    print(data["transactionId"], data["outcome"], (data["problem"] or {}).get("code", "-"), flush=True)


def main() -> None:
    path, *rest = sys.argv[1:]
    queue = rest[0] if rest else "brh.notifications"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS seen (source TEXT, id TEXT, PRIMARY KEY (source, id))")
        database.execute("CREATE TABLE IF NOT EXISTS results (transaction_id TEXT, outcome TEXT)")

        def take(channel: BlockingChannel, method: Any, _properties: Any, body: bytes) -> None:
            event = json.loads(body)
            if "outcome" in event["data"]:  # brh.notifications also has `accepted`, `gap` and `overdue`
                with database:  # commits, or rolls back when something is raised
                    new = database.execute(
                        "INSERT OR IGNORE INTO seen VALUES (?, ?)", (event["source"], event["id"])
                    ).rowcount
                    if new:
                        act(database, event)
            channel.basic_ack(method.delivery_tag)

        while True:
            try:
                with pika.BlockingConnection(pika.URLParameters(os.environ["BRH_AMQP_URL"])) as connection:
                    channel = connection.channel()
                    channel.basic_qos(prefetch_count=10)
                    channel.basic_consume(queue, take)
                    channel.start_consuming()
            except AMQPConnectionError as error:
                print(f"again: {error!r}", file=sys.stderr, flush=True)
                time.sleep(RECONNECT_S)


if __name__ == "__main__":
    main()
