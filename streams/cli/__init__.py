"""The `brh` command. Each subcommand is the `command` of the module of the same name, imported when it is called."""

from __future__ import annotations

import importlib
from typing import Final

import click
import rich_click

from bridge.settings import SettingsError
from streams.cli.errors import EXIT_USAGE

COMMANDS: Final = {
    "stack": "real RabbitMQ, Kafka and Azurite as local processes",
    "setup": "create what is missing in RabbitMQ, Kafka and Blob Storage",
    "bridge": "one bridge process in the foreground",
}


class _LazyGroup(rich_click.RichGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"streams.cli.{cmd_name}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="big-result-handler", prog_name="brh")
def brh() -> None:
    """Assembles big, chunked results from RabbitMQ in Azure Blob Storage."""


def main() -> None:
    """Run `brh`; settings that are wrong end it with one sentence."""
    try:
        brh()
    except SettingsError as error:
        click.echo(f"brh: {error} (bad-settings)\nSet them in the environment or in .env; see the README.", err=True)
        raise SystemExit(EXIT_USAGE) from None
