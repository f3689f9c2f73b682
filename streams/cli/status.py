"""`brh status`: one transaction, once or until its outcome is there."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import click
import rich_click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from bridge.settings import load
from streams.cli import paper, show
from streams.cli.arguments import AS_JSON, TXN
from streams.cli.client import Api, connected
from streams.cli.errors import EXIT_NOT_READY, CliError
from streams.cli.help import examples
from streams.settings import ClientSettings
from tables.transaction import FINAL

WATCH_INTERVAL_S: Final = 1.0

_Text = Callable[[dict[str, Any]], str]
_Picture = Callable[[str, dict[str, Any] | None], None]
"""Shows the text; with the row that it was made from, or None where it is an error that may pass."""


@click.command(
    "status",
    cls=rich_click.RichCommand,
    epilog=examples("brh status T1", "brh status T1 --watch", "brh status T1 --json"),
)
@TXN
@click.option("--watch", is_flag=True, help="Show it again until the outcome is there.")
@click.option("--all", "every", is_flag=True, help="Show all series, also of a transaction with many.")
@AS_JSON
def command(transaction: str, watch: bool, every: bool, as_json: bool) -> None:
    """Show what has arrived of a transaction, what is missing, what comes next, and the command that helps.

    Each cell of a bar stands for a share of the ordinals: ▮ all there, ▪ some, ▯ none, · not told (# + - ? where the
    terminal has no such signs). Of more than 20 series only those are shown that lack something.
    """
    asyncio.run(_status(load(ClientSettings).api_url, transaction, watch, every, as_json))


async def _status(url: str, transaction: str, watch: bool, every: bool, as_json: bool) -> None:
    def text(row: dict[str, Any]) -> str:
        # Times from now are for people who look at it now; a log is read later.
        now = datetime.now(UTC) if sys.stdout.isatty() else None
        return "\n".join(show.status(row, paper.stdout(), now, every=every))

    async with connected(url) as api:
        if watch:
            await _watch(api, transaction, as_json, text)
        else:
            row = await api.transaction(transaction)
            click.echo(json.dumps(row) if as_json else text(row))


async def _watch(api: Api, transaction: str, as_json: bool, text: _Text) -> None:
    """On a terminal the picture changes in place; elsewhere each change is printed, with --json as one line."""
    console = Console()
    in_place = console.is_terminal and not console.is_dumb_terminal and not as_json
    live = Live(console=console, auto_refresh=False) if in_place else None
    if live is None:
        await _follow(api, transaction, text, _printer(as_json))
        return
    with live:
        await _follow(api, transaction, text, lambda said, _: live.update(Text.from_ansi(said), refresh=True))


def _printer(as_json: bool) -> _Picture:
    before = ""

    def show_change(text: str, row: dict[str, Any] | None) -> None:
        nonlocal before
        if text != before and (row is not None or not as_json):
            click.echo(json.dumps(row) if as_json else text)
        before = text

    return show_change


async def _follow(api: Api, transaction: str, text: _Text, picture: _Picture) -> None:
    while True:
        try:
            row = await api.transaction(transaction)
        except CliError as error:
            if error.exit_code != EXIT_NOT_READY:
                raise
            picture(error.message, None)
        else:
            picture(text(row), row)
            if row["state"] in FINAL:
                return
        await asyncio.sleep(WATCH_INTERVAL_S)
