"""`brh bridge`: one bridge process in the foreground."""

from __future__ import annotations

import click
import rich_click

from bridge.__main__ import main
from streams.cli.help import examples


@click.command("bridge", cls=rich_click.RichCommand, epilog=examples("brh bridge", "BRH_LOG_FORMAT=json brh bridge"))
def command() -> None:
    """Run one bridge from RabbitMQ to Blob Storage and Kafka. SIGTERM drains it."""
    main()
