"""`brh replay`: a transaction at a past moment, from the events topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime

import click
import rich_click

from bridge.settings import load
from streams.cli import paper, show
from streams.cli.arguments import AS_JSON, TXN
from streams.cli.client import connected
from streams.cli.documents import as_text
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_FOUND, CliError
from streams.cli.events_log import EventsLog
from streams.cli.help import examples
from streams.cli.progress import Moved, shown
from streams.record import Record
from streams.replay import Replay, Replayed
from streams.settings import ClientSettings, TrackerSettings
from streams.topics import Topics
from streams.types_file import load_policies


@click.command(
    "replay",
    cls=rich_click.RichCommand,
    epilog=examples("brh replay T1", "brh replay T1 --until 4711", "brh replay T1 --until 4711 --json"),
)
@TXN
@click.option("--until", metavar="OFFSET", type=click.IntRange(0), help="The last record that counts. [default: all]")
@AS_JSON
def command(transaction: str, until: int | None, as_json: bool) -> None:
    """Rebuild a transaction from the events topic, and show it as it was after a record of its partition.

    The last events that told of it are named with their offsets, so begin without --until. The limits are those of
    BRH_TYPES_FILE as it is now. Nothing is written. Exit code 3: nothing had been heard of it, 1: its first events
    are not kept any more, so nobody can tell what it was.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs what we raise
    settings, client = load(TrackerSettings), load(ClientSettings)
    policies = load_policies(settings.types_file)
    partition = Topics(settings.namespace, settings.partitions).partition_of(transaction)
    replay = Replay(transaction, partition, settings, policies)
    with shown(transaction, as_json) as show_moved:

        def take(record: Record, read: int, until: int) -> None:
            replay.take(record)
            show_moved(Moved(read, None, f"offset {record.offset} of {until}"))

        log = EventsLog(settings, partition)
        end = asyncio.run(log.read(until, take))
    found = replay.result()
    if found is None or replay.first_at is None:
        message = f"Nothing of {transaction} is in partition {partition} up to offset {end}"
        remedy = "Leave --until out to see its offsets; what is older than the events topic keeps is gone."
        raise CliError(message, code="no-events", remedy=remedy, exit_code=EXIT_NOT_FOUND)
    if log.begin:
        asyncio.run(_check_begin(client.api_url, transaction, replay.first_at, log.begin))
    click.echo(as_text(found) if as_json else "\n".join(_lines(found)))


async def _check_begin(url: str, transaction: str, first_at: datetime, begin: int) -> None:
    """Raises CliError when the transaction began before what the topic keeps; only its row tells when it began."""
    async with connected(url) as api:
        row = await api.transaction(transaction)
    # What a row says was first is never earlier than the record that told of it.
    if datetime.fromisoformat(row["timestamps"]["created"]) < first_at:
        raise CliError(
            f"The first events of {transaction} are not kept any more: its partition begins at offset {begin}",
            code="history-cut",
            remedy=f"See what is known with `brh explain {transaction}`; what was written is in storage.",
            exit_code=EXIT_FAILED,
        )


def _lines(found: Replayed) -> Iterator[str]:
    yield f"After offset {found.offset} of partition {found.partition}, {found.at}, by {found.records} events of it:"
    yield ""
    # What would have been the next command is none today.
    yield from show.status(found.transaction, paper.stdout())[:-1]
    yield ""
    yield found.explanation["summary"]
    for text in found.explanation["waitingFor"]:
        yield f"  {text}"
    yield ""
    yield "Until then:"
    for each in found.history:
        became = f" -> {each.state}" if each.state else ""
        yield f"  {each.offset:>8}  {each.at}  {each.kind}{became}: {each.text}"
