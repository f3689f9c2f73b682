"""`brh cancel`: give a transaction up."""

from __future__ import annotations

import click
import rich_click

from streams.cli.arguments import AS_JSON, TXN
from streams.cli.help import examples
from streams.cli.order import KEY, give


@click.command("cancel", cls=rich_click.RichCommand, epilog=examples("brh cancel T1", "brh cancel T1 --json"))
@TXN
@KEY
@AS_JSON
def command(transaction: str, key: str | None, as_json: bool) -> None:
    """Give up an open transaction: it becomes Abandoned (cancelled), and what was staged is removed.

    Where the result is being delivered already it may come too late; `brh wait` tells. Exit code 1: there is an
    outcome, which is never reopened.
    """
    give(transaction, "cancel", key, as_json, {})
