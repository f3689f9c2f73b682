"""`brh wait`: return when the outcome is there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import msgspec
import rich_click
from rich.filesize import decimal

from bridge.settings import load
from streams.cli import show
from streams.cli.arguments import AS_JSON, TXN, Duration
from streams.cli.client import TIMEOUT_S, Api, connected
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_NOT_READY, CliError
from streams.cli.help import examples
from streams.cli.progress import Moved, Show, shown
from streams.settings import ClientSettings
from tables.transaction import FINAL, State

POLL_INTERVAL_S: Final = 0.5

_PASSING: Final = frozenset({EXIT_NOT_FOUND, EXIT_NOT_READY})


class Waited(msgspec.Struct, frozen=True):
    """What was there when the outcome or the end of the time came."""

    row: dict[str, Any] | None
    trouble: CliError | None = None
    """Why the last question had no answer."""

    @property
    def final(self) -> bool:
        """The outcome is there."""
        return self.row is not None and self.row["state"] in FINAL


@click.command("wait", cls=rich_click.RichCommand, epilog=examples("brh wait T1", "brh wait T1 --timeout 2h --watch"))
@TXN
@click.option(
    "--timeout", "timeout_s", type=Duration(), default="60s", show_default=True, metavar="60s", help="Then give up."
)
@click.option("--watch", is_flag=True, help="Show on stderr how far it is, meanwhile.")
@AS_JSON
def command(transaction: str, timeout_s: float, watch: bool, as_json: bool) -> None:
    """Return when the outcome of a transaction is there.

    It may not have been heard of yet, and the API may not run yet. Exit code 0: Completed, 1: Failed or Abandoned,
    4: neither when the time was over.
    """
    with shown(transaction, as_json or not watch) as show_moved:
        waited = asyncio.run(_wait(load(ClientSettings).api_url, transaction, timeout_s, show_moved))
    if as_json and waited.row is not None:
        click.echo(json.dumps(waited.row))
    if not waited.final:
        raise _timed_out(transaction, timeout_s, waited)
    assert waited.row is not None
    if waited.row["state"] != State.COMPLETED:
        raise _not_completed(waited.row)
    if not as_json:
        size = decimal(sum(series["bytes"] for series in waited.row["series"]))
        click.echo(f"{transaction} Completed: {len(waited.row['series'])} series, {size}\n{show.advice(waited.row)}")


async def _wait(url: str, transaction: str, timeout_s: float, show_moved: Show) -> Waited:
    async with connected(url) as api:
        return await until_final(api, transaction, timeout_s, lambda row: show_moved(moved(row)))


def moved(row: Mapping[str, Any]) -> Moved:
    """How far a transaction is. How many bytes it will have is estimated, by those of the payloads that came."""
    series = row["series"]
    came = sum(each["receivedCount"] for each in series)
    size = sum(each["bytes"] for each in series)
    totals = [each["totalCount"] for each in series]
    if row["header"] is None or None in totals:
        return Moved(size, None, f"{row['state']}, {came} payloads")
    size_of = size * sum(totals) // came if came else None
    return Moved(size, size_of, f"{row['state']}, {came} of {sum(totals)} payloads")


async def until_final(
    api: Api, transaction: str, timeout_s: float, on_row: Callable[[dict[str, Any]], None] = lambda _: None
) -> Waited:
    """Ask until the outcome is there or the time is over; `on_row` is told of each answer.

    Raises CliError for what time does not mend.
    """
    end_s = time.monotonic() + timeout_s
    waited = Waited(None)
    while True:
        left_s = end_s - time.monotonic()
        try:
            row = await api.transaction(transaction, timeout_s=min(TIMEOUT_S, max(left_s, 1.0)))
            waited = Waited(row)
            on_row(row)
        except CliError as error:
            if error.exit_code not in _PASSING:
                raise
            waited = Waited(waited.row, error)
        left_s = end_s - time.monotonic()
        if waited.final or left_s <= 0:
            return waited
        await asyncio.sleep(min(POLL_INTERVAL_S, left_s))


def _timed_out(transaction: str, timeout_s: float, waited: Waited) -> CliError:
    if waited.trouble is not None:
        return CliError(
            f"{transaction} has no outcome after {timeout_s:g} s: {waited.trouble.sentence}",
            code="timeout",
            remedy=waited.trouble.remedy,
            exit_code=EXIT_NOT_READY,
        )
    state = waited.row["state"] if waited.row else "not known"
    return CliError(
        f"{transaction} is still {state} after {timeout_s:g} s",
        code="timeout",
        remedy=f"See what it waits for with `brh status {transaction}`, or give it more time with --timeout.",
        exit_code=EXIT_NOT_READY,
    )


def _not_completed(row: dict[str, Any]) -> CliError:
    found = row["problem"] or {"code": "unknown", "detail": "no reason is known"}
    return CliError(
        f"{row['transactionId']} {row['state']}: {found['detail'].rstrip('.')}",
        code=found["code"],
        remedy=show.advice(row),
        exit_code=EXIT_FAILED,
    )
