"""`brh retry`: deliver now what is waiting for its next try."""

from __future__ import annotations

import click
import rich_click

from streams.cli.arguments import AS_JSON, TXN
from streams.cli.help import examples
from streams.cli.order import KEY, give


@click.command("retry", cls=rich_click.RichCommand, epilog=examples("brh retry T1", "brh retry T1 && brh wait T1"))
@TXN
@KEY
@AS_JSON
def command(transaction: str, key: str | None, as_json: bool) -> None:
    """Try the delivery of a transaction in SendingCompletion at once, instead of after its pause.

    Exit code 1: there is nothing to deliver yet, or there is an outcome, which is never reopened.
    """
    give(transaction, "retry", key, as_json, {})
