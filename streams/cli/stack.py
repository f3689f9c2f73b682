"""`brh stack`: real RabbitMQ, Kafka and Azurite as local processes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from streams.cli.documents import as_text
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_NOT_READY, CliError
from streams.cli.groups import Group
from streams.cli.help import examples
from streams.stack import ServiceStatus, Stack, StackError, install
from streams.stack.stack import UP_TIMEOUT_S

_DEFAULT_DIR: Final = Path(".brh/stack")
_EXIT_CODES: Final = {"no-stack": EXIT_NOT_FOUND, "service-not-ready": EXIT_NOT_READY, "stack-busy": EXIT_NOT_READY}


class Services(msgspec.Struct, frozen=True):
    """`brh stack status --json` prints it, and so do `up` and `down` of what they leave behind."""

    services: list[ServiceStatus]


_F = TypeVar("_F", bound=Callable[..., Any])


def _dir_option(function: _F) -> _F:
    option = click.option(
        "--dir",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="BRH_STACK_DIR",
        default=_DEFAULT_DIR,
        show_default=True,
        show_envvar=True,
        help="Where the stack keeps its data.",
    )
    return option(function)


def _json_option(function: _F) -> _F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors of the stack into errors of the command line."""
    # While a broker starts, its client libraries complain of what we are waiting for.
    for name in ("aiokafka", "aiormq", "aio_pika", "azure"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    except StackError as error:
        exit_code = _EXIT_CODES.get(error.code, EXIT_FAILED)
        raise CliError(str(error), code=error.code, remedy=error.remedy, exit_code=exit_code) from None


@click.group("stack", cls=Group, epilog=examples("brh stack up", 'eval "$(brh stack env)"', "brh stack down --wipe"))
def command() -> None:
    """Real RabbitMQ, Kafka and Azurite as local processes, on free ports of loopback that are remembered."""


@command.command(epilog=examples("brh stack up", "brh stack up --dir /var/tmp/stack"))
@_dir_option
@click.option("--timeout", type=float, default=UP_TIMEOUT_S, show_default=True, help="Seconds until all must answer.")
@_json_option
def up(folder: Path, timeout: float, as_json: bool) -> None:
    """Start what does not run and return when all three answer. Keeps data and ports."""
    with _told():
        stack = Stack(folder, _say(as_json))
        stack.up(timeout)
        _print_left(stack, as_json)


@command.command(epilog=examples("brh stack down", "brh stack down --wipe"))
@_dir_option
@click.option("--wipe", is_flag=True, help="Drop the data and the remembered ports too.")
@_json_option
def down(folder: Path, wipe: bool, as_json: bool) -> None:
    """Stop the three cleanly. Their data stays."""
    with _told():
        stack = Stack(folder, _say(as_json))
        stack.down(wipe=wipe)
        _print_left(stack, as_json)


def _say(as_json: bool) -> Callable[[str], None]:
    """Where the steps are told: with --json they are no part of the answer."""
    return partial(click.echo, err=as_json)


def _print_left(stack: Stack, as_json: bool) -> None:
    if as_json:
        click.echo(as_text(Services(stack.status())))


@command.command(epilog=examples("brh stack status", "brh stack status --json"))
@_dir_option
@_json_option
def status(folder: Path, as_json: bool) -> None:
    """Say what runs, where, and whether it answers."""
    with _told():
        services = Stack(folder).status()
    if as_json:
        click.echo(as_text(Services(services)))
    else:
        Console().print(_table(services))


@command.command(epilog=examples('eval "$(brh stack env)"', "brh stack env --json"))
@_dir_option
@_json_option
def env(folder: Path, as_json: bool) -> None:
    """Print the settings for a shell: eval "$(brh stack env)"."""
    with _told():
        variables = Stack(folder).env()
    if as_json:
        click.echo(json.dumps(variables))
        return
    for name, value in variables.items():
        click.echo(f"{name}={_quoted(value)}")
    click.echo(f"export {' '.join(variables)}")  # or the commands of that shell would not see them


@command.command("install", epilog=examples("brh stack install"))
def install_() -> None:
    """Fetch Kafka and Azurite into the cache. `up` does so by itself."""
    with _told():
        install.ensure(click.echo)
        click.echo(f"Kafka {install.kafka_version()} and Azurite {install.azurite_version()} are in {install.cache()}")


def _quoted(value: str) -> str:
    escaped = value.replace("'", "'\"'\"'")
    return f"'{escaped}'"


def _table(services: list[ServiceStatus]) -> Table:
    table = Table("service", "ready", "port", "pid", "version", box=None)
    for service in services:
        values = (service.port, service.pid, service.version)
        table.add_row(service.name, "yes" if service.ready else "no", *("-" if v is None else str(v) for v in values))
    return table
