"""`brh fsck`: what is wrong between storage, events and trackers, and the way back after Kafka's topics were lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from itertools import groupby
from typing import Any, Final

import click
import msgspec
import rich_click
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bridge.azure_blobs import AzureBlobs
from bridge.blobs import BlobsError
from bridge.facts import Facts, FactsUnavailable
from bridge.settings import load
from streams.cli.arguments import AS_JSON, Duration
from streams.cli.client import Api, connected
from streams.cli.documents import as_text
from streams.cli.errors import EXIT_DATA_WRONG, EXIT_NOT_FOUND, EXIT_NOT_READY, CliError, storage_failed
from streams.cli.events_log import EventsLog
from streams.cli.help import examples
from streams.findings import Finding, remedy
from streams.fold import Fold
from streams.fsck import Fsck, Limits, Report
from streams.fsck_events import Bounds, EventsRead, FsckEvents
from streams.queries import LIMIT_MAX, Row
from streams.record import Record
from streams.restore import Restored
from streams.settings import ClientSettings, TrackerSettings
from streams.types_file import load_policies

READY_WAIT_S: Final = 60.0
"""While partitions move a tracker cannot answer for all; longer than that takes."""
_AGAIN: Final = "what was published already changes nothing"


class Checked(msgspec.Struct, frozen=True, omit_defaults=True):
    """`brh fsck --json` prints it: with what could be published again, or what was, and what was read of the events."""

    findings: list[Finding]
    more: int
    """Findings beyond --limit."""
    transactions: int
    """That were looked at."""
    rebuildable: Restored | None = None
    rebuilt: Restored | None = None
    events: EventsRead | None = None


Shown = Callable[[Report], None]


@click.command(
    "fsck",
    cls=rich_click.RichCommand,
    epilog=examples("brh fsck", "brh fsck --events", "brh fsck --rebuild", "brh fsck --limit 100000 --json"),
)
@click.option("--rebuild", is_flag=True, help="Publish again what storage tells and the trackers do not know.")
@click.option("--events", is_flag=True, help="Compare what the events topic tells with the trackers, too.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True, help="Findings to show.")
@click.option(
    "--grace",
    type=Duration(),
    default="15m",
    show_default=True,
    help="Leave outcomes alone that are younger than this.",
)
@AS_JSON
def command(rebuild: bool, events: bool, limit: int, grace: float, as_json: bool) -> None:
    """Compare blob storage with what the trackers know, transaction by transaction.

    Without --rebuild nothing is changed; what could be published again is counted. Exit code 0: nothing is wrong, 5:
    something is, 4: a system does not answer.

    With --events the events topic is read as well, as far as the trackers have taken it, and folded anew, one partition
    after the other: it takes the memory that a tracker has for the open transactions of one partition. Whatever the
    events tell must be in the trackers' rows. What is older than the topic keeps is not judged, but counted.
    BRH_TYPES_FILE and BRH_DEDUPE_RETENTION_S have to be those of the trackers.
    """
    for name in ("azure", "aiokafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log what we raise
    settings = load(ClientSettings)
    tracker = load(TrackerSettings) if events else None
    limits = Limits(findings_max=limit, grace_s=grace, remembered_s=settings.dedupe_retention_s)
    with _progress(as_json) as shown:
        report, read = asyncio.run(_fsck(settings, limits, rebuild, tracker, shown))
    document = _document(report, rebuild, read)
    click.echo(as_text(document) if as_json else "\n".join(_lines(report, rebuild, read)))
    if report.findings or report.more:
        click.get_current_context().exit(EXIT_DATA_WRONG)


async def _fsck(
    settings: ClientSettings, limits: Limits, rebuild: bool, tracker: TrackerSettings | None, shown: Shown
) -> tuple[Report, EventsRead | None]:
    """`tracker`: with whose settings to fold the events topic; None: not at all."""
    try:
        async with AsyncExitStack() as opened:
            blobs = await opened.enter_async_context(AzureBlobs(settings))
            rows = _ApiRows(await opened.enter_async_context(connected(settings.api_url)))
            publish = (await opened.enter_async_context(Facts(settings))).publish if rebuild else None
            report = await Fsck(blobs, rows, limits, publish=publish, progress=shown).run()
            if tracker is None:
                return report, None
            fold = partial(Fold, settings=tracker, policies=load_policies(tracker.types_file))
            run = FsckEvents(partial(_taken, tracker), fold, rows, blobs, limits, progress=shown)
            return report, await run.run(tracker.partitions, report)
    except BlobsError as error:
        raise storage_failed(error, _AGAIN) from error
    except (FactsUnavailable, KafkaError) as error:
        raise CliError(
            f"Kafka did not take a fact: {error}",
            code="kafka-unavailable",
            remedy=f"Check that it runs and that BRH_KAFKA_BOOTSTRAP is right, then run the same command: {_AGAIN}.",
            exit_code=EXIT_NOT_READY,
        ) from error


async def _taken(settings: TrackerSettings, partition: int, take: Callable[[Record], None]) -> Bounds:
    return await EventsLog(settings, partition).read_taken(lambda record, *_: take(record))


class _ApiRows:
    """The trackers' rows over HTTP."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def transaction(self, transaction: str) -> Row | None:
        """In full."""
        try:
            row: Row = await self._patient(lambda: self._api.transaction(transaction))
        except CliError as error:
            if error.exit_code != EXIT_NOT_FOUND:
                raise
            return None
        return None if row.get("fromOutcome") else row  # that storage knows it is no news

    async def page(self, after: str | None) -> tuple[list[Row], str | None]:
        """In short."""
        params = {"limit": str(LIMIT_MAX)} | ({"after": after} if after else {})
        page = await self._patient(lambda: self._api.transactions(params))
        return page["transactions"], page["next"]

    async def _patient(self, ask: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        until = loop.time() + READY_WAIT_S
        while True:
            try:
                return await ask()
            except CliError as error:
                if error.code != "not-ready" or loop.time() > until:
                    raise
            await asyncio.sleep(1)


def _document(report: Report, rebuild: bool, read: EventsRead | None) -> Checked:
    restored = {"rebuilt" if rebuild else "rebuildable": report.restored}
    return Checked(report.findings, report.more, report.transactions, events=read, **restored)


def _lines(report: Report, rebuild: bool, read: EventsRead | None) -> Iterator[str]:
    for kind, findings in groupby(sorted(report.findings, key=lambda each: each.kind), key=lambda each: each.kind):
        mine = list(findings)
        yield f"{kind} ({len(mine)}). {remedy(kind, 'TXN')}"
        yield from (f"  {each.transaction_id}: {each.detail}" for each in mine)
    if report.more:
        yield f"{report.more} findings more are not shown: add --limit."
    wrong = len(report.findings) + report.more
    yield f"{_many(report.transactions, 'transaction')}, {_many(wrong, 'finding')}."
    if report.restored != Restored():
        yield f"{'Published again' if rebuild else 'Can be published again with --rebuild'}: {_said(report.restored)}."
    if read is not None:
        yield from _events_lines(read)


def _events_lines(read: EventsRead) -> Iterator[str]:
    """What the events could tell, and what they could not."""
    since = f" since {read.begins}" if read.begins else ""
    tell = f"{_many(read.records, 'record')}{since} in {_many(read.partitions, 'partition')}"
    yield f"Events: {tell}, of {_many(read.transactions, 'transaction')}."
    if read.removed:
        yield f"  Not kept any more: {_many(read.removed, 'record')} before that."
    if read.unjudged:
        yield f"  Not judged, because the first events may be gone: {_many(read.unjudged, 'transaction')}."
    if read.untaken:
        yield f"  Not read, because the trackers have not taken them yet: {_many(read.untaken, 'record')}."
    if read.unreadable:
        yield f"  Not readable, or in the wrong partition: {_many(read.unreadable, 'record')}."


def _said(restored: Restored) -> str:
    said = f"{_many(restored.headers, 'header')}, {_many(restored.payloads, 'payload')}"
    said += f" and {_many(restored.outcomes, 'outcome')} of {_many(restored.transactions, 'transaction')}"
    return said + (f"; {restored.unclear} contradict each other" if restored.unclear else "")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


@contextmanager
def _progress(as_json: bool) -> Iterator[Shown]:
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("looking", total=None)

        def shown(report: Report) -> None:
            wrong = len(report.findings) + report.more
            said = f"{_many(report.transactions, 'transaction')}, {_many(wrong, 'finding')}"
            bars.update(task, description=f"{said}; {report.doing}" if report.doing else said)

        yield shown
