"""Errors of the command line: one sentence, a code, a remedy, and an exit code that scripts can rely on."""

from __future__ import annotations

from typing import Final

import click

from bridge.blobs import BlobsError, BlobsRefused

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_NOT_READY: Final = 4
EXIT_DATA_WRONG: Final = 5
EXIT_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells count it."""


class CliError(click.ClickException):
    """Ends a command: `what happened (code)` and `what to do` on stderr."""

    def __init__(self, message: str, *, code: str, remedy: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(f"{message} ({code})\n{remedy}")
        self.sentence = message
        self.code = code
        self.remedy = remedy
        self.exit_code = exit_code

    def show(self, file: object = None) -> None:
        """Print to stderr, whatever `file` is: stdout belongs to the command's answer."""
        click.echo(f"brh: {self.message}", err=True)


def interrupted(message: str, remedy: str) -> CliError:
    """Somebody pressed Ctrl-C; `remedy` says how to go on from what is there."""
    return CliError(message, code="interrupted", remedy=remedy, exit_code=EXIT_INTERRUPTED)


def storage_failed(error: BlobsError, again: str) -> CliError:
    """Blob storage did not do what was asked; `again` says what running the same command again does."""
    passing = not isinstance(error, BlobsRefused)
    return CliError(
        str(error),
        code="blobs-unavailable" if passing else "blobs-refused",
        remedy=f"Run the same command again: {again}."
        if passing
        else "Correct BRH_BLOB_CONNECTION_STRING, BRH_BLOB_ACCOUNT_URL or BRH_BLOB_CONTAINER.",
        exit_code=EXIT_NOT_READY if passing else EXIT_FAILED,
    )
