"""`brh gaps`: what is missing of a transaction."""

from __future__ import annotations

import asyncio
import json

import click
import rich_click

from bridge.settings import load
from streams.cli import show
from streams.cli.arguments import AS_JSON, TXN
from streams.cli.client import connected
from streams.cli.help import examples
from streams.settings import ClientSettings


@click.command("gaps", cls=rich_click.RichCommand, epilog=examples("brh gaps T1", "brh gaps T1 --json"))
@TXN
@AS_JSON
def command(transaction: str, as_json: bool) -> None:
    """Name the missing ordinals of each series, and the series of which the total is not known."""
    found = asyncio.run(_gaps(load(ClientSettings).api_url, transaction))
    click.echo(json.dumps(found) if as_json else "\n".join(show.gaps(found)))


async def _gaps(url: str, transaction: str) -> dict[str, object]:
    async with connected(url) as api:
        return await api.gaps(transaction)
