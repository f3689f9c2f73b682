"""The `brh` command. Each subcommand is the `command` of the module of the same name, imported when it is called."""

from __future__ import annotations

from typing import Final

import click
from rich_click.rich_panel import RichCommandPanel

from streams.cli.groups import LazyGroup
from streams.cli.help import examples

GROUPS: Final = {
    "Send and receive": {
        "send": "send files as a result: a reference producer",
        "wait": "return when a transaction has its outcome",
        "fetch": "download and verify a completed result",
    },
    "Look": {
        "status": "what has arrived of a transaction and what it waits for",
        "list": "transactions, all or by state and type",
        "gaps": "which ordinals of a transaction are missing",
        "explain": "why a transaction is not done yet, and what helps",
        "replay": "a transaction as it was after a record of the events topic",
    },
    "Act": {
        "retry": "deliver at once what waits for its next try",
        "cancel": "give an open transaction up",
        "extend": "let a transaction wait longer",
    },
    "Repair": {
        "doctor": "whether RabbitMQ, Kafka, storage and trackers suit each other",
        "dlq": "messages that were put aside: list, show, redrive",
        "fsck": "compare storage with the trackers, and publish again what Kafka has lost",
    },
    "Run": {
        "demo": "everything on this machine, with a process killed in the middle",
        "stack": "real RabbitMQ, Kafka and Azurite as local processes",
        "setup": "create what is missing in RabbitMQ, Kafka and Blob Storage",
        "run": "bridge, tracker and delivery under one supervisor",
        "bridge": "one bridge process in the foreground",
        "completion": "completion of commands, options and ids for a shell",
    },
}
COMMANDS: Final = {name: line for commands in GROUPS.values() for name, line in commands.items()}


class _Brh(LazyGroup):
    described = COMMANDS
    package = __name__


@click.group(
    cls=_Brh,
    context_settings={"help_option_names": ["-h", "--help"]},
    panels=[RichCommandPanel(title, commands=[*commands]) for title, commands in GROUPS.items()],
    epilog=examples("brh demo", "brh send T1 --series cashflows=big.csv", "brh status T1", "brh wait T1 --timeout 10m"),
)
@click.version_option(package_name="big-result-handler", prog_name="brh")
def brh() -> None:
    """Assembles big, chunked results from RabbitMQ in Azure Blob Storage.

    Errors are one sentence with a code, and what to do, on stderr. `brh COMMAND --help` has examples.
    """


def main() -> None:
    """Run `brh`."""
    brh()
