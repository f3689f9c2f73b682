"""The `brh` command. Each subcommand is the `command` of the module of the same name, imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any, Final

import click
import rich_click

from bridge.settings import SettingsError
from streams.cli.errors import EXIT_USAGE, CliError

COMMANDS: Final = {
    "demo": "everything on this machine, with a process killed in the middle",
    "stack": "real RabbitMQ, Kafka and Azurite as local processes",
    "setup": "create what is missing in RabbitMQ, Kafka and Blob Storage",
    "run": "bridge, tracker and delivery under one supervisor",
    "bridge": "one bridge process in the foreground",
    "send": "send files as a result: a reference producer",
    "status": "what has arrived of a transaction and what it waits for",
    "list": "transactions, all or by state and type",
    "gaps": "which ordinals of a transaction are missing",
    "explain": "why a transaction is not done yet, and what helps",
    "retry": "deliver at once what waits for its next try",
    "cancel": "give an open transaction up",
    "extend": "let a transaction wait longer",
    "wait": "return when a transaction has its outcome",
    "dlq": "messages that were put aside: list, show, redrive",
    "fetch": "download and verify a completed result",
    "doctor": "whether RabbitMQ, Kafka, storage and trackers suit each other",
    "fsck": "compare storage with the trackers, and publish again what Kafka has lost",
}


class _LazyGroup(rich_click.RichGroup):
    """Help shows the lines above; only the command that is called is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # `list` is a module of this package once it was called

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return rich_click.RichCommand(name=cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name and found else None, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CliError as error:
            # rich-click would put it in a box, which breaks ids and commands at the edge of the terminal.
            error.show()
            ctx.exit(error.exit_code)


def _load(name: str) -> click.Command:
    module = f"{__name__}.{name}"
    try:
        command: click.Command = importlib.import_module(module).command
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise click.ClickException(f"this installation has no {name} command") from None
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
