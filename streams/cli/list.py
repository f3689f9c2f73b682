"""`brh list`: transactions, all or some."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime

import click
import rich_click

from bridge.settings import load
from streams.cli import paper
from streams.cli.arguments import AS_JSON, TransactionType
from streams.cli.client import connected
from streams.cli.help import examples
from streams.cli.show_list import summaries
from streams.queries import LIMIT_DEFAULT, LIMIT_MAX
from streams.settings import ClientSettings
from tables.transaction import State


@click.command(
    "list",
    cls=rich_click.RichCommand,
    epilog=examples("brh list", "brh list --state AwaitingResults --type valuation", "brh list --limit 1000 --json"),
)
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only those in this state.")
@click.option("--prefix", metavar="ID", help="Only those whose ids begin like that.")
@click.option(
    "--type", "transaction_type", metavar="T", type=TransactionType(), help="Only those of this transaction type."
)
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=LIMIT_DEFAULT, show_default=True, help="At most so many."
)
@click.option("--after", metavar="CURSOR", help="Go on behind an earlier page: its `next`.")
@AS_JSON
def command(
    state: str | None,
    transaction_type: str | None,
    prefix: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List transactions in the order of their ids."""
    asked = {"state": state, "type": transaction_type, "prefix": prefix, "limit": str(limit), "after": after}
    page = asyncio.run(
        _page(load(ClientSettings).api_url, {name: value for name, value in asked.items() if value is not None})
    )
    if as_json:
        click.echo(json.dumps(page))
        return
    click.echo("\n".join(summaries(page, paper.stdout(), datetime.now(UTC) if sys.stdout.isatty() else None)))
    if page["next"]:
        click.echo(f"There are more: add --after {page['next']}")


async def _page(url: str, params: dict[str, str]) -> dict[str, object]:
    async with connected(url) as api:
        return await api.transactions(params)
