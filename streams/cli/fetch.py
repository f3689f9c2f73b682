"""`brh fetch`: a completed result as files."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click
import rich_click
from rich.filesize import decimal

from bridge.azure_blobs import AzureBlobs
from bridge.blobs import Blobs, BlobsError
from bridge.contract.outbound import Outcome
from bridge.settings import load
from bridge.unreadable import Unreadable
from streams.cli.arguments import AS_JSON, TXN
from streams.cli.client import connected
from streams.cli.documents import as_text
from streams.cli.download import Fetched, FetchedSeries, fetch_series, mismatch, target_of
from streams.cli.errors import EXIT_DATA_WRONG, EXIT_NOT_FOUND, EXIT_NOT_READY, CliError, interrupted, storage_failed
from streams.cli.help import examples
from streams.cli.progress import Moved, Show, shown
from streams.outcome import find_outcome
from streams.remedies import helping
from streams.settings import ClientSettings


@click.command(
    "fetch",
    cls=rich_click.RichCommand,
    epilog=examples("brh fetch T1 --out result", "brh fetch T1 --out result --json"),
)
@TXN
@click.option(
    "--out",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the files; it is made.",
)
@AS_JSON
def command(transaction: str, folder: Path, as_json: bool) -> None:
    """Download every series of a completed transaction to DIR/SERIES and verify lengths and CRC-64.

    What is there already and right is not downloaded again, so a second run goes on where the first one ended. Exit
    code 4: there is no outcome yet, 1: it failed or was abandoned, 5: bytes differ from what the outcome says.
    """
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # it logs what we raise
    try:
        fetched = asyncio.run(_fetch(load(ClientSettings), transaction, folder, as_json))
    except KeyboardInterrupt:
        message, remedy = f"{transaction} is fetched in part", "Run the same command again: whole parts are kept."
        raise interrupted(message, remedy) from None
    if as_json:
        click.echo(as_text(FetchedSeries(fetched)))
    else:
        click.echo("\n".join(map(_line, fetched)))
    wrong = mismatch(fetched)
    if wrong:
        raise wrong


async def _fetch(settings: ClientSettings, transaction: str, folder: Path, as_json: bool) -> list[Fetched]:
    try:
        async with AzureBlobs(settings) as blobs:
            outcome = await _completed(blobs, settings.api_url, transaction)
            for series in outcome.series:
                target_of(folder, series.series_type)
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            with shown(transaction, as_json) as on_moved:
                told = _Told(sum(series.bytes for series in outcome.series), on_moved)
                return [
                    await fetch_series(blobs, transaction, series, folder, told.came, told.found)
                    for series in outcome.series
                ]
    except BlobsError as error:
        raise storage_failed(error, "it goes on where it ended") from error
    except OSError as error:
        raise CliError(
            f"A file cannot be written: {error}", code="file", remedy="Make room or choose another --out folder."
        ) from error


async def _completed(blobs: Blobs, api_url: str, transaction: str) -> Outcome:
    try:
        decided = await find_outcome(blobs, transaction)
    except Unreadable as error:
        message, remedy = f"The outcome of {transaction} cannot be read: {error}", "Use the release that wrote it."
        raise CliError(message, code="record-unreadable", remedy=remedy, exit_code=EXIT_DATA_WRONG) from error
    if decided is None:
        raise await _no_outcome(api_url, transaction)
    outcome = decided.outcome
    if outcome.outcome != "Completed":
        problem = outcome.problem
        why = problem.detail.rstrip(".") if problem else "no reason is known"
        raise CliError(
            f"{transaction} {outcome.outcome}, so there is nothing to fetch: {why}",
            code=problem.code if problem else "unknown",
            remedy=helping(problem.code if problem else None, transaction),
        )
    return outcome


async def _no_outcome(api_url: str, transaction: str) -> CliError:
    """Storage alone cannot tell an open transaction from one that nobody has heard of."""
    try:
        async with connected(api_url) as api:
            state = (await api.transaction(transaction))["state"]
    except CliError as error:
        if error.exit_code == EXIT_NOT_FOUND:
            return error
        state = "not known to be completed"
    return CliError(
        f"{transaction} is {state}: there is nothing to fetch yet",
        code="no-outcome",
        remedy=f"Wait for it with `brh wait {transaction}`.",
        exit_code=EXIT_NOT_READY,
    )


def _line(fetched: Fetched) -> str:
    size = decimal(fetched.bytes)
    if not fetched.ok:
        return f"{fetched.series_type}: WRONG behind {size}"
    return f"{fetched.series_type}: {size} verified, {fetched.file or 'nothing was received of it'}"


class _Told:
    """Counts what is there of a result, and shows it."""

    def __init__(self, bytes_of: int, show: Show) -> None:
        self.moved = Moved(0, bytes_of)
        self._show = show

    def came(self, count: int) -> None:
        self._tell(self.moved._replace(bytes=self.moved.bytes + count))

    def found(self, count: int) -> None:
        self._tell(self.moved._replace(bytes=self.moved.bytes + count, found=self.moved.found + count))

    def _tell(self, moved: Moved) -> None:
        self.moved = moved
        self._show(moved)
