"""What `brh retry`, `cancel` and `extend` have in common: a command is given once, and the answer says how to go on."""

from __future__ import annotations

import asyncio
import getpass
import json
from typing import Any, Final
from uuid import uuid4

import click

from bridge.settings import load
from streams.cli.client import connected
from streams.cli.errors import EXIT_NOT_READY, CliError
from streams.commands import Action
from streams.settings import ClientSettings

KEY = click.option(
    "--key", metavar="KEY", help="Name of this very command, up to 64 of A-Z a-z 0-9 _ -: given again, it counts once."
)

_NEXT: Final[dict[Action, str]] = {
    "retry": "Next: `brh wait {0}` returns when the outcome is told.",
    "cancel": "Next: `brh wait {0}` returns when the outcome is told, which may have been decided before.",
    "extend": "Next: `brh status {0}` shows how long it waits.",
}


def give(transaction: str, action: Action, key: str | None, as_json: bool, members: dict[str, str]) -> None:
    """Give a command and print the answer. Raises CliError."""
    said = asyncio.run(_give(load(ClientSettings).api_url, transaction, action, key or uuid4().hex, members))
    if as_json:
        click.echo(json.dumps(said))
    else:
        click.echo(f"{transaction}: {action} is taken, as command {said['commandId']}.")
        click.echo(_NEXT[action].format(transaction))


async def _give(url: str, transaction: str, action: Action, key: str, members: dict[str, str]) -> dict[str, Any]:
    async with connected(url) as api:
        try:
            return await api.command(transaction, action, members, key=key, user=user_name())
        except CliError as error:
            if error.exit_code != EXIT_NOT_READY:
                raise
            # Nobody knows whether it was heard.
            remedy = f"{error.remedy} With --key {key} the same command counts once."
            raise CliError(error.sentence, code=error.code, remedy=remedy, exit_code=error.exit_code) from None


def user_name() -> str | None:
    """Who calls, as the system knows him, fit for an HTTP header; None where it does not."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a number that has no name
        return None
    return name if name.isprintable() else ascii(name)[1:-1]
