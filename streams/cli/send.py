"""`brh send`: files as the series of a transaction."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import rich_click
from rich.filesize import decimal

from bridge.contract.inbound import PAYLOAD_MAX_BYTES
from bridge.settings import AmqpSettings, BridgeSettings, load
from streams.cli.arguments import AS_JSON, TXN, Percent, Size
from streams.cli.client import connected
from streams.cli.documents import as_text
from streams.cli.errors import EXIT_NOT_FOUND, EXIT_USAGE, CliError, interrupted
from streams.cli.help import examples
from streams.cli.judged import judge, lines
from streams.cli.missing import Missing, missing_of
from streams.cli.payloads import FileSource, Source
from streams.cli.producer import Progress, SendSummary, send
from streams.cli.progress import Moved, shown
from streams.cli.send_missing import send_missing
from streams.remedies import remedy
from streams.settings import ClientSettings


@click.command(
    "send",
    cls=rich_click.RichCommand,
    epilog=examples(
        "brh send T1 --series cashflows=big.csv --series log=run.log",
        "brh send T1 --series cashflows=big.csv --check",
        "brh send T1 --series cashflows=big.csv --only-missing",
        "brh send T1 --series a=a.bin --chunk-size 1MiB --shuffle --header-last --duplicates 5%",
    ),
)
@TXN
@click.option("--series", "pairs", metavar="NAME=FILE", multiple=True, required=True, help="A series; repeat it.")
@click.option("--chunk-size", type=Size(), default="8MiB", show_default=True, help="Of each payload, to 256MiB.")
@click.option("--type", "transaction_type", metavar="T", default="default", show_default=True, help="In the header.")
@click.option("--shuffle", is_flag=True, help="Send the payloads in random order.")
@click.option("--seed", type=int, help="With --shuffle: the same seed gives the same order.")
@click.option("--header-last", is_flag=True, help="Send the header after all payloads.")
@click.option("--duplicates", type=Percent(), default="0%", metavar="N%", help="Send so many of the payloads twice.")
@click.option("--check", "only_check", is_flag=True, help="Send nothing; judge what this command would send.")
@click.option("--only-missing", is_flag=True, help="Ask the API, and send only what has not arrived.")
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
    only_check: bool,
    only_missing: bool,
    as_json: bool,
) -> None:
    """Send files as the series of a transaction: a reference producer.

    It returns when the broker has confirmed everything. If it is interrupted, run the same command again: what has
    arrived is absorbed as a duplicate. Only keep files, chunk size and type, or it is another result and a conflict.
    With --only-missing neither what has arrived is sent again, nor a header that has. Where more is missing than one
    answer of the API names, it goes on when that has arrived, until all of it is sent.
    With --check nothing is sent, and nobody is asked. It judges what this command would send of these files, as the
    bridge would, and so says nothing of messages that another producer makes: exit code 1 when one would be refused
    (BRH_PAYLOAD_MAX_BYTES counts), or there are too many payloads.
    """
    if only_missing and duplicates:
        raise click.BadParameter("is not for --only-missing.", param_hint="--duplicates")
    series = _sources(pairs, chunk_size)
    if only_check:
        _check(transaction, transaction_type, series, as_json)
        return
    for name in ("aio_pika", "aiormq"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log what we raise
    ask = partial(_missing, load(ClientSettings).api_url, transaction, series)
    first = asyncio.run(ask()) if only_missing else None
    if first is not None and first.nothing and not as_json:
        click.echo(f"{transaction}: nothing is missing of {', '.join(series)}; nothing was sent.")
        return
    order = (random.randrange(1 << 32) if seed is None else seed) if shuffle else None  # noqa: S311  # no secret
    url = load(AmqpSettings).amqp_url.get_secret_value()
    given = partial(send, url, transaction, series, transaction_type=transaction_type, shuffle=order)
    some = partial(given, header_last=header_last, duplicates=duplicates)
    with _told(transaction, as_json) as tell:
        if first is None:
            summary, left = asyncio.run(some(on_progress=tell)), False
        else:
            summary, left = asyncio.run(send_missing(first, ask, some, tell, header_last=header_last))
    click.echo(as_text(summary) if as_json else sent_line(summary))
    if left:
        click.echo(_left(transaction), err=True)


def _left(transaction: str) -> str:
    said = f"More is missing of {transaction} than the API names at once, and what was sent does not arrive"
    return f"{said}: see `brh explain {transaction}`, then run the same command again."


def _check(transaction: str, transaction_type: str, series: Mapping[str, Source], as_json: bool) -> None:
    """Raises CliError when a message would be refused or the transaction Failed, or a file cannot be read."""
    try:
        limit = load(BridgeSettings).payload_max_bytes
        found = judge(transaction, transaction_type, series, payload_max_bytes=limit)
    except OSError as error:
        message, helps = f"The source cannot be read: {error}", "Name files that can be read."
        raise CliError(message, code="source", remedy=helps) from error
    click.echo(as_text(found) if as_json else "\n".join(lines(found)))
    if found.rejected:
        message = f"{found.rejected} of {found.messages} messages of {transaction} would be refused"
        raise CliError(message, code="contract", remedy="Correct what is named; the codes are those of rejections.")
    if found.code is not None:
        message = f"{transaction} would be Failed, although each of its {found.messages} messages is taken"
        raise CliError(message, code="contract", remedy=remedy(found.code) or "Correct what is named.")


async def _missing(url: str, transaction: str, series: Mapping[str, Source]) -> Missing:
    async with connected(url) as api:
        try:
            return missing_of(await api.transaction(transaction), series)
        except CliError as error:
            if error.exit_code != EXIT_NOT_FOUND:
                raise
            message, remedy = f"Nothing was ever heard of {transaction}", "Send all of it: leave --only-missing out."
            raise CliError(message, code=error.code, remedy=remedy, exit_code=EXIT_NOT_FOUND) from None


def _sources(pairs: tuple[str, ...], chunk_bytes: int) -> dict[str, Source]:
    if not 1 <= chunk_bytes <= PAYLOAD_MAX_BYTES:
        raise click.BadParameter(f"{chunk_bytes} bytes are not within 1 to 256MiB.", param_hint="--chunk-size")
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
def _told(transaction: str, as_json: bool) -> Iterator[Callable[[Progress], None]]:
    """What is to be told of the progress. Raises CliError for Ctrl-C, with what was confirmed until then."""
    said = "nothing was confirmed"
    with shown(transaction, as_json) as show:

        def on_progress(now: Progress) -> None:
            nonlocal said
            said = f"{now.messages} of {now.messages_of} payloads"
            show(Moved(now.bytes, now.bytes_of, said))

        try:
            yield on_progress
        except KeyboardInterrupt:
            confirmed = said if said.startswith("nothing") else f"{said} were confirmed"
            message = f"{transaction} is sent in part: {confirmed}"
            remedy = "Run the same command with --only-missing: it sends what has not arrived."
            raise interrupted(message, remedy) from None
