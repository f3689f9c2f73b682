"""`brh send`: files as the series of a transaction."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec
import rich_click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from bridge.contract.inbound import PAYLOAD_MAX_BYTES
from bridge.settings import AmqpSettings, load
from streams.cli.arguments import AS_JSON, TXN, Percent, Size
from streams.cli.errors import EXIT_USAGE, CliError
from streams.cli.payloads import FileSource, Source
from streams.cli.producer import Progress, SendSummary, send

_REPORTED_SHARE: Final = 0.1
"""Where there is no terminal, a line is printed each time this share more is confirmed."""


@click.command("send", cls=rich_click.RichCommand)
@TXN
@click.option("--series", "pairs", metavar="NAME=FILE", multiple=True, required=True, help="A series; repeat it.")
@click.option("--chunk-size", type=Size(), default="8MiB", show_default=True, help="Of each payload, to 256MiB.")
@click.option("--type", "transaction_type", metavar="T", default="default", show_default=True, help="In the header.")
@click.option("--shuffle", is_flag=True, help="Send the payloads in random order.")
@click.option("--seed", type=int, help="With --shuffle: the same seed gives the same order.")
@click.option("--header-last", is_flag=True, help="Send the header after all payloads.")
@click.option("--duplicates", type=Percent(), default="0%", metavar="N%", help="Send so many of the payloads twice.")
@AS_JSON
def command(
    transaction: str,
    pairs: tuple[str, ...],
    chunk_size: int,
    transaction_type: str,
    shuffle: bool,
    seed: int | None,
    header_last: bool,
    duplicates: float,
    as_json: bool,
) -> None:
    """Send files as the series of a transaction: a reference producer.

    It returns when the broker has confirmed everything. If it is interrupted, run the same command again: what has
    arrived is absorbed as a duplicate. Only keep files, chunk size and type, or it is another result and a conflict.
    """
    if not 1 <= chunk_size <= PAYLOAD_MAX_BYTES:
        raise click.BadParameter(f"{chunk_size} bytes are not within 1 to 256MiB.", param_hint="--chunk-size")
    series = _sources(pairs, chunk_size)
    for name in ("aio_pika", "aiormq"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log what we raise
    settings = load(AmqpSettings)
    order = (random.randrange(1 << 32) if seed is None else seed) if shuffle else None  # noqa: S311  # no secret
    with _progress(transaction, as_json) as on_progress:
        summary = asyncio.run(
            send(
                settings.amqp_url.get_secret_value(),
                transaction,
                series,
                transaction_type=transaction_type,
                shuffle=order,
                header_last=header_last,
                duplicates=duplicates,
                on_progress=on_progress,
            )
        )
    click.echo(json.dumps(msgspec.to_builtins(summary)) if as_json else sent_line(summary))


def _sources(pairs: tuple[str, ...], chunk_bytes: int) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not path:
            raise click.BadParameter(f"{pair!r} is not NAME=FILE.", param_hint="--series")
        if name in sources:
            raise click.BadParameter(f"{name!r} is given twice.", param_hint="--series")
        if not Path(path).is_file():
            raise CliError(
                f"{path} is not there, or no file",
                code="no-file",
                remedy="Name a file that can be read in any order.",
                exit_code=EXIT_USAGE,
            )
        sources[name] = FileSource(Path(path), chunk_bytes)
    return sources


def sent_line(summary: SendSummary) -> str:
    """What was sent, for people."""
    again = f" ({summary.duplicates} of them duplicates)" if summary.duplicates else ""
    size = decimal(summary.bytes)
    return (
        f"{summary.transaction_id}: {len(summary.series)} series in {summary.payloads} payloads{again}, {size}, "
        f"confirmed in {summary.seconds:.1f} s\nFollow it with: brh wait {summary.transaction_id}"
    )


@contextmanager
def _progress(transaction: str, as_json: bool) -> Iterator[Callable[[Progress], None] | None]:
    console = Console(stderr=True)
    if as_json:
        yield None
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bars(*columns, DownloadColumn(), TransferSpeedColumn(), console=console, transient=True) as bars:
            task = bars.add_task(transaction, total=None)
            yield lambda now: bars.update(task, completed=now.bytes, total=now.bytes_of)
    else:
        yield _lines(transaction)


def _lines(transaction: str) -> Callable[[Progress], None]:
    due = _REPORTED_SHARE

    def report(now: Progress) -> None:
        nonlocal due
        share = now.messages / now.messages_of
        if share >= due:
            due = share + _REPORTED_SHARE
            click.echo(f"{transaction}: {now.messages} of {now.messages_of} payloads confirmed", err=True)

    return report
