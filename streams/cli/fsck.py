"""`brh fsck`: what is wrong between storage and trackers, and the way back after Kafka's topics were lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
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
from streams.cli.help import examples
from streams.findings import Finding, remedy
from streams.fsck import Fsck, Limits, Report
from streams.queries import LIMIT_MAX, Row
from streams.restore import Restored
from streams.settings import ClientSettings

READY_WAIT_S: Final = 60.0
"""While partitions move a tracker cannot answer for all; longer than that takes."""
_AGAIN: Final = "what was published already changes nothing"


class Checked(msgspec.Struct, frozen=True, omit_defaults=True):
    """`brh fsck --json` prints it: with what could be published again, or what was."""

    findings: list[Finding]
    more: int
    """Findings beyond --limit."""
    transactions: int
    """That were looked at."""
    rebuildable: Restored | None = None
    rebuilt: Restored | None = None


Shown = Callable[[Report], None]


@click.command(
    "fsck",
    cls=rich_click.RichCommand,
    epilog=examples("brh fsck", "brh fsck --rebuild", "brh fsck --limit 100000 --json"),
)
@click.option("--rebuild", is_flag=True, help="Publish again what storage tells and the trackers do not know.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True, help="Findings to show.")
@click.option(
    "--grace",
    type=Duration(),
    default="15m",
    show_default=True,
    help="Leave outcomes alone that are younger than this.",
)
@AS_JSON
def command(rebuild: bool, limit: int, grace: float, as_json: bool) -> None:
    """Compare blob storage with what the trackers know, transaction by transaction.

    Without --rebuild nothing is changed; what could be published again is counted. Exit code 0: nothing is wrong, 5:
    something is, 4: a system does not answer.
    """
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # it logs what we raise
    settings = load(ClientSettings)
    limits = Limits(findings_max=limit, grace_s=grace, remembered_s=settings.dedupe_retention_s)
    with _progress(as_json) as shown:
        report = asyncio.run(_fsck(settings, limits, rebuild, shown))
    click.echo(as_text(_document(report, rebuild)) if as_json else "\n".join(_lines(report, rebuild)))
    if report.findings or report.more:
        click.get_current_context().exit(EXIT_DATA_WRONG)


async def _fsck(settings: ClientSettings, limits: Limits, rebuild: bool, shown: Shown) -> Report:
    try:
        async with AsyncExitStack() as opened:
            blobs = await opened.enter_async_context(AzureBlobs(settings))
            rows = _ApiRows(await opened.enter_async_context(connected(settings.api_url)))
            publish = (await opened.enter_async_context(Facts(settings))).publish if rebuild else None
            return await Fsck(blobs, rows, limits, publish=publish, progress=shown).run()
    except BlobsError as error:
        raise storage_failed(error, _AGAIN) from error
    except (FactsUnavailable, KafkaError) as error:
        raise CliError(
            f"Kafka did not take a fact: {error}",
            code="kafka-unavailable",
            remedy=f"Check that it runs and that BRH_KAFKA_BOOTSTRAP is right, then run the same command: {_AGAIN}.",
            exit_code=EXIT_NOT_READY,
        ) from error


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


def _document(report: Report, rebuild: bool) -> Checked:
    restored = {"rebuilt" if rebuild else "rebuildable": report.restored}
    return Checked(report.findings, report.more, report.transactions, **restored)


def _lines(report: Report, rebuild: bool) -> Iterator[str]:
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
            bars.update(task, description=f"{_many(report.transactions, 'transaction')}, {_many(wrong, 'finding')}")

        yield shown
