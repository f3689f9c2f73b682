"""`brh extend`: give producers more time."""

from __future__ import annotations

import click
import rich_click

from bridge.durations import duration_text
from streams.cli.arguments import AS_JSON, TXN, Wait
from streams.cli.help import examples
from streams.cli.order import KEY, give


@click.command(
    "extend",
    cls=rich_click.RichCommand,
    epilog=examples("brh extend T1 --by 2h", "brh extend T1 --by P1DT12H", "brh extend T1 --by 2h --key monday"),
)
@TXN
@click.option("--by", "by_s", required=True, type=Wait(), metavar="1h", help="90m, 2h, 1d or ISO 8601 such as PT2H.")
@KEY
@AS_JSON
def command(transaction: str, by_s: float, key: str | None, as_json: bool) -> None:
    """Let a transaction in AwaitingResults wait longer, for its header and for everything.

    Not beyond 6 days after its first message, because storage drops staged blocks a week after they came. Exit code 1:
    it would be longer, or the transaction waits for nothing any more.
    """
    give(transaction, "extend", key, as_json, {"by": duration_text(by_s)})
