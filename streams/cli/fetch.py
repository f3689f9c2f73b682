"""`brh fetch`: a completed result as files."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
import rich_click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from bridge.azure_blobs import AzureBlobs
from bridge.blobs import Blobs, BlobsError
from bridge.contract.outbound import Outcome
from bridge.settings import load
from bridge.unreadable import Unreadable
from streams.cli.arguments import AS_JSON, TXN
from streams.cli.client import connected
from streams.cli.download import Fetched, fetch_series, mismatch, target_of
from streams.cli.errors import EXIT_DATA_WRONG, EXIT_NOT_FOUND, EXIT_NOT_READY, CliError, storage_failed
from streams.outcome import find_outcome
from streams.settings import ClientSettings

Report = Callable[[int], None]


@click.command("fetch", cls=rich_click.RichCommand)
@TXN
@click.option("--out", "folder", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@AS_JSON
def command(transaction: str, folder: Path, as_json: bool) -> None:
    """Download every series of a completed transaction to DIR/SERIES and verify lengths and CRC-64.

    What is there already and right is not downloaded again, so a second run goes on where the first one ended. Exit
    code 4: there is no outcome yet, 1: it failed or was abandoned, 5: bytes differ from what the outcome says.
    """
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # it logs what we raise
    fetched = asyncio.run(_fetch(load(ClientSettings), transaction, folder, as_json))
    if as_json:
        click.echo(json.dumps({"series": msgspec.to_builtins(fetched)}))
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
            with _progress(transaction, sum(series.bytes for series in outcome.series), as_json) as on_bytes:
                return [await fetch_series(blobs, transaction, series, folder, on_bytes) for series in outcome.series]
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
            remedy="An outcome never changes: mend the cause, then send the result under another transaction id.",
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


@contextmanager
def _progress(transaction: str, bytes_of: int, as_json: bool) -> Iterator[Report]:
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(transaction, total=bytes_of)
        yield lambda count: bars.advance(task, count)
