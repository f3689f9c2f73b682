"""`brh dlq`: messages that were put aside, and the way back."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import msgspec
import rich_click
from msgspec.structs import asdict, replace

from bridge.amqp_address import AmqpAddress
from bridge.contract.inbound import RejectionCode
from bridge.decoding import decode_whatever_comes
from bridge.lane import Incoming
from bridge.quoting import quoted
from bridge.settings import BridgeSettings, load
from bridge.topology import ORPHANS, REJECTED
from streams.cli import show_letters as show
from streams.cli.arguments import AS_JSON
from streams.cli.broker import inspected
from streams.cli.dead_letter import UNKNOWN_ORIGIN, DeadLetter, Letters, ShownLetter, dead_letter, letter_id
from streams.cli.documents import as_text
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_NOT_READY, EXIT_USAGE, CliError
from streams.cli.groups import Group
from streams.cli.help import examples
from streams.cli.look import Look, look
from streams.cli.put_back import OFTEN, Choice
from streams.cli.redrive import Redrive, Report, Wish

LETTERS_MAX: Final = 1_000
EVENT_MAX_BYTES: Final = 8 << 20
"""Of an orphan record that is shown: no record of ours is as large."""

PUT_BACK_MAX: Final = 10_000
"""In one run: each is named at its end."""
CODES: Final = (*(str(code) for code in RejectionCode), UNKNOWN_ORIGIN, OFTEN, "rejected", "delivery_limit")

QUEUES: Final = {"rejected": REJECTED, "orphans": ORPHANS}

QUEUE = click.option(
    "--queue",
    type=click.Choice([*QUEUES]),
    default="rejected",
    show_default=True,
    help="Messages that were refused, or records of payloads that are in no result.",
)

TRANSACTIONS = click.option(
    "--transaction", "transactions", metavar="TXN", multiple=True, help="Those of this one; repeat it."
)


@click.group("dlq", cls=Group, epilog=examples("brh dlq list", "brh dlq redrive --all --dry-run"))
def command() -> None:
    """Messages that were put aside: look at them, and send back what can be taken now."""


@command.command(
    "list",
    cls=rich_click.RichCommand,
    epilog=examples("brh dlq list", "brh dlq list --transaction T1", "brh dlq list --queue orphans"),
)
@QUEUE
@TRANSACTIONS
@click.option("--limit", type=click.IntRange(1, LETTERS_MAX), default=100, show_default=True, help="At most so many.")
@AS_JSON
def list_letters(queue: str, transactions: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List messages that were put aside, with what the bridge would say to them now.

    They stay in their queue. No body is kept, but every one except the last passes the network. With --transaction
    up to 1,000 are looked at.
    """
    settings, found = _look(QUEUES[queue], LETTERS_MAX if transactions else limit)
    wanted = [each for each in found.seen if not transactions or each.properties.correlation_id in transactions]
    letters = sorted((_letter(settings, seen) for seen in wanted), key=lambda each: (each.since or "", each.id))
    listed = Letters(QUEUES[queue], found.waiting, len(found.seen), letters[:limit])
    click.echo(as_text(listed) if as_json else "\n".join(show.letters(listed, transactions)))


@command.command(
    "show",
    cls=rich_click.RichCommand,
    epilog=examples("brh dlq show 1f0c9a77d2e4", "brh dlq show 1f0c9a77d2e4 --out body.bin"),
)
@click.argument("name", metavar="ID")
@QUEUE
@click.option("--out", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write its body to this file.")
@AS_JSON
def show_letter(name: str, queue: str, file: Path | None, as_json: bool) -> None:
    """Show the message with an ID of the list, with all its AMQP headers; an orphan record whole."""
    event = io.BytesIO()
    with _opened(file) as out:

        def save(incoming: Incoming) -> BinaryIO | None:
            return event if out is None and queue == "orphans" and incoming.size <= EVENT_MAX_BYTES else out

        settings, found = _look(
            QUEUES[queue], LETTERS_MAX, lambda each: letter_id(each.properties, each.size) == name, save
        )
        if found.chosen is None:
            raise _not_there(QUEUES[queue], name, found)
    letter, headers = _letter(settings, found.chosen), found.chosen.properties.headers
    if as_json:
        told = show.event(event.getvalue()) if event.getvalue() else msgspec.UNSET
        whole = ShownLetter(**asdict(letter), headers=show.plain(headers), event=told)
        # Not msgspec's JSON: the event may hold integers and signs that it cannot write.
        click.echo(json.dumps(msgspec.to_builtins(whole)))
    else:
        click.echo("\n".join(show.letter(letter, headers, event.getvalue())))


@command.command(
    "redrive",
    cls=rich_click.RichCommand,
    epilog=examples(
        "brh dlq redrive --all --dry-run",
        "brh dlq redrive --all",
        "brh dlq redrive 1f0c9a77d2e4",
        "brh dlq redrive --transaction T1 --code delivery_limit",
    ),
)
@click.argument("names", metavar="[ID]...", nargs=-1)
@TRANSACTIONS
@click.option("--code", "codes", metavar="CODE", type=click.Choice(CODES), multiple=True, help="As `list` shows it.")
@click.option("--all", "everything", is_flag=True, help="Whatever is there.")
@click.option(
    "--limit", type=click.IntRange(1, PUT_BACK_MAX), default=1_000, show_default=True, help="At most so many."
)
@click.option("--force", is_flag=True, help="Also those that would be refused again.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@AS_JSON
def redrive_letters(
    names: tuple[str, ...],
    transactions: tuple[str, ...],
    codes: tuple[str, ...],
    everything: bool,
    limit: int,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put refused messages back where they came from, for the bridges to take them once more.

    Name them by ID, transaction or code (all that are given must fit), or take --all. What would be refused again for
    what it is stays, with the reason; so does what came back three times. Each is gone from the queue only when
    RabbitMQ has confirmed it anew: after any error run the same command again. Exit code 1: something chosen stays.
    """
    if everything == bool(names or transactions or codes):
        raise click.UsageError("Name messages by ID, --transaction or --code, or take --all.")
    decode_whatever_comes()
    settings = load(BridgeSettings)
    choice = Choice(frozenset(names), frozenset(transactions), frozenset(codes))
    wish = Wish(choice, limit, force, dry_run, settings.payload_max_bytes)
    report = Report(REJECTED, asyncio.run(inspected(settings.amqp_url.get_secret_value(), REJECTED)), dry_run)

    def tell(letter: DeadLetter) -> None:
        if not as_json:
            click.echo(show.put_back(letter, dry_run))

    try:
        if report.waiting:
            asyncio.run(Redrive(AmqpAddress.parse(settings.amqp_url), wish, report, tell).run())
    finally:
        # Also before an error: what was put back until then is done.
        click.echo(as_text(report) if as_json else show.redriven(report))
    _check(report, choice, transactions)


def _check(report: Report, choice: Choice, transactions: tuple[str, ...]) -> None:
    """Raises CliError when something that was asked for was not there, or stays."""
    missing = choice.unseen or (transactions if not (report.put_back or report.left_count) else ())
    if missing:
        message = f"{report.queue} has no message of {', '.join(map(quoted, missing))}"
        remedy = "See `brh dlq list`; somebody may have it in hand."
        raise CliError(message, code="no-message", remedy=remedy, exit_code=EXIT_NOT_FOUND)
    if report.left_count and not report.dry_run:
        message = f"{report.left_count} of the chosen messages stay in {report.queue}"
        raise CliError(message, code="left", remedy=show.LEFT_REMEDY, exit_code=EXIT_FAILED)


def _look(queue: str, limit: int, *choice: Any) -> tuple[BridgeSettings, Look]:
    decode_whatever_comes()
    settings = load(BridgeSettings)
    address, url = AmqpAddress.parse(settings.amqp_url), settings.amqp_url.get_secret_value()
    return settings, asyncio.run(look(address, url, queue, limit, *choice))


def _letter(settings: BridgeSettings, seen: Incoming) -> DeadLetter:
    letter = dead_letter(seen.properties, seen.size, settings.payload_max_bytes)
    return replace(letter, problem=None) if letter.type == show.ORPHANED_TYPE else letter


@contextmanager
def _opened(file: Path | None) -> Iterator[BinaryIO | None]:
    """The file, which must not exist; it is removed again when something goes wrong."""
    if file is None:
        yield None
        return
    try:
        out = file.open("xb")
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}"
        remedy = "Name a file that does not exist yet."
        raise CliError(message, code="no-file", remedy=remedy, exit_code=EXIT_USAGE) from None
    try:
        with out:
            yield out
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _not_there(queue: str, name: str, found: Look) -> CliError:
    if len(found.seen) < min(found.waiting, LETTERS_MAX):
        message, remedy = f"{queue} has {found.waiting} messages, but not all of them come", "Ask again later."
        return CliError(message, code="in-hand", remedy=remedy, exit_code=EXIT_NOT_READY)
    message = f"{queue} has no message {quoted(name)} among {len(found.seen)}"
    return CliError(message, code="no-message", remedy="See `brh dlq list`.", exit_code=EXIT_NOT_FOUND)
