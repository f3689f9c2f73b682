"""`brh explain`: why a transaction is not done yet."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime

import click
import rich_click

from bridge.settings import load
from streams.cli import paper, show
from streams.cli.arguments import AS_JSON, TXN
from streams.cli.client import connected
from streams.cli.help import examples
from streams.settings import ClientSettings


@click.command("explain", cls=rich_click.RichCommand, epilog=examples("brh explain T1", "brh explain T1 --json"))
@TXN
@AS_JSON
def command(transaction: str, as_json: bool) -> None:
    """Say what a transaction waits for, what happens if it does not come, what happened so far, and what helps."""
    # Times from now are for people who look at it now; a log is read later.
    now = datetime.now(UTC) if sys.stdout.isatty() else None
    found = asyncio.run(_explanation(load(ClientSettings).api_url, transaction))
    click.echo(json.dumps(found) if as_json else "\n".join(show.explanation(found, paper.stdout(), now)))


async def _explanation(url: str, transaction: str) -> dict[str, object]:
    async with connected(url) as api:
        return await api.explanation(transaction)
