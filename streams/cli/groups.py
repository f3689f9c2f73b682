"""Groups of commands: what goes wrong in them ends with one sentence, a code and a remedy, and never a traceback."""

from __future__ import annotations

import importlib
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import click
import rich_click

from bridge.settings import SettingsError
from streams.cli.errors import EXIT_USAGE, CliError, interrupted

_NEAR_MAX: Final = 3
"""Names that are suggested for a wrong one."""

_AGAIN: Final = "Run the same command again: it goes on from what is there."
_AFTER_INTERRUPT: Final = {
    "extend": "See with `brh status` whether it was heard: given again without --key it counts twice.",
    "cancel": "See with `brh status` whether it was heard; again is harmless.",
    "retry": "See with `brh status` whether it was heard; again is harmless.",
}


class NoSuchCommand(click.UsageError):
    """A command that there is not; `possibilities` are those that are spelled like it."""

    def __init__(self, name: str, possibilities: Sequence[str], ctx: click.Context) -> None:
        super().__init__(f"No such command: {name}", ctx)
        self.possibilities = possibilities


class Group(rich_click.RichGroup):
    """A group of commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called. Raises NoSuchCommand with what was probably meant."""
        name, known = args[0], self.list_commands(ctx)
        if not ctx.resilient_parsing and name not in known and not name.startswith("-"):
            raise NoSuchCommand(name, get_close_matches(name.lower(), known, _NEAR_MAX, 0.5), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises CliError for Ctrl-C, which says how to go on."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            name = ctx.invoked_subcommand or ""
            message, remedy = f"{ctx.command_path} {name} was interrupted", _AFTER_INTERRUPT.get(name, _AGAIN)
            raise interrupted(message, remedy) from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line `args`; standing alone it exits with the code that the contract promises."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        sys.exit(self._exit_code(args, prog_name, complete_var, extra))

    def _exit_code(
        self, args: Sequence[str] | None, prog_name: str | None, complete_var: str | None, extra: dict[str, Any]
    ) -> int:
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except CliError as error:
            # rich-click would put it in a box, which breaks ids and commands at the edge of the terminal.
            error.show()
            return error.exit_code
        except click.ClickException as error:
            return _told(usage(error))
        except click.Abort:
            return _told(interrupted(f"{prog_name or self.name} was interrupted", _AGAIN))
        except SettingsError as error:
            return _told(bad_settings(error))
        except Exception as error:  # a mistake of ours: people get a sentence, and we get the trace
            return _told(mistake(error))
        return code if isinstance(code, int) else 0


class LazyGroup(Group):
    """Help shows the lines of `described`; only the command that is called is imported, from the module of its name."""

    described: Mapping[str, str] = {}
    package = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return [*self.described]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """What help and completion show of a command."""
        known = self.described.get(cmd_name)
        return None if known is None else rich_click.RichCommand(name=cmd_name, help=known)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called, imported. Raises NoSuchCommand and CliError."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if name and found else None, rest

    def load(self, name: str) -> click.Command:
        """The `command` of the module. Raises CliError when the module is not installed."""
        module = f"{self.package}.{name}"
        try:
            command: click.Command = importlib.import_module(module).command
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            message, remedy = f"This installation has no {name} command", "Install big-result-handler anew."
            raise CliError(message, code="not-installed", remedy=remedy) from None
        return command


def usage(error: click.ClickException) -> CliError:
    """What is wrong with a command line, with what was probably meant."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    said = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    near = getattr(error, "possibilities", None)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    path = context.command_path if context else "brh"
    remedy = f"{meant}`{path} --help` says what there is."
    return CliError(" ".join(said.split()).rstrip("."), code="usage", remedy=remedy, exit_code=EXIT_USAGE)


def bad_settings(error: SettingsError) -> CliError:
    """Settings that are wrong; the message names each of them."""
    return CliError(str(error), code="bad-settings", remedy=error.remedy, exit_code=EXIT_USAGE)


def mistake(error: Exception) -> CliError:
    """What nobody has thought of; the trace is in a file, because it helps nobody but us."""
    with tempfile.NamedTemporaryFile("w", prefix="brh-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(error))
    said = (str(error).splitlines() or [""])[0]
    message = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return CliError(message, code="internal-error", remedy=f"It is a mistake of ours: please report {file.name}.")


def _told(error: CliError) -> int:
    error.show()
    return error.exit_code
