"""The reference of the command line, as Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import click
import msgspec

from streams.cli import COMMANDS, GROUPS, brh
from streams.cli.dead_letter import Letters, ShownLetter
from streams.cli.doctor import Examined
from streams.cli.download import FetchedSeries
from streams.cli.fsck import Checked
from streams.cli.groups import LazyGroup
from streams.cli.help import EXIT_CODES
from streams.cli.judged import Verdicts
from streams.cli.producer import SendSummary
from streams.cli.redrive import Report as Redriven
from streams.cli.stack import Services
from streams.provision import Provisioned
from streams.replay import Replayed

_TRANSACTION: Final = "GET /v1/transactions/{id}"

DOCUMENTS: Final[dict[str, Any]] = {
    "doctor": Examined,
    "send": (SendSummary, Verdicts),
    "wait": _TRANSACTION,
    "fetch": FetchedSeries,
    "status": _TRANSACTION,
    "list": "GET /v1/transactions",
    "gaps": "GET /v1/transactions/{id}/gaps",
    "explain": "GET /v1/transactions/{id}/explain",
    "replay": Replayed,
    "retry": "POST /v1/transactions/{id}/retry",
    "cancel": "POST /v1/transactions/{id}/cancel",
    "extend": "POST /v1/transactions/{id}/extend",
    "dlq list": Letters,
    "dlq show": ShownLetter,
    "dlq redrive": Redriven,
    "fsck": Checked,
    "stack up": Services,
    "stack down": Services,
    "stack status": Services,
    "stack env": dict[str, str],
    "setup": Provisioned,
}
"""What `--json` prints, by the name of the command: a type, several of them, or the call of the API that answers so."""

_TOP: Final = """# The command line

Written from the code by `python -m reference`; `brh COMMAND --help` says the same. Answers go to stdout,
errors and progress to stderr. An error is one sentence with a code, and a line with what to do.

Settings come from `BRH_*` variables, `.env` and a directory of secrets; `BRH_API_URL` says where a tracker answers.
Colours are left out where `NO_COLOR` is set or no terminal is there, and so are progress bars, in place of which lines
are printed.
"""


def page() -> str:
    """The whole page as Markdown."""
    lines = [_TOP, "## Exit codes\n", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    for title, names in GROUPS.items():
        lines += ["", f"## {title}"]
        for name in names:
            for path, command in commands(name):
                lines += ["", f"### brh {path}\n", *_described(path, command)]
    return "\n".join(lines) + "\n"


def commands(only: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by its path, such as `dlq list`; a group comes before its commands."""
    assert isinstance(brh, LazyGroup), "what is called is loaded by its name"
    for name in [only] if only else COMMANDS:
        command = brh.load(name)
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {each}", inner) for each, inner in command.commands.items())


def examples_of(command: click.Command) -> list[str]:
    """The command lines in its help."""
    return [line.strip() for line in (command.epilog or "").split("\n\n") if line.startswith("  ")]


def _described(path: str, command: click.Command) -> Iterator[str]:
    context = command.make_context(f"brh {path}", [], resilient_parsing=True)
    yield inspect.cleandoc(command.help or "") + "\n"
    yield f"```\nbrh {path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    records = [option.get_help_record(context) for option in command.params if isinstance(option, click.Option)]
    if any(records):
        yield "| option | meaning |\n|---|---|"
        yield from (f"| `{names}` | {_cell(text)} |" for names, text in filter(None, records))
        yield ""
    yield "```\n" + "\n".join(examples_of(command)) + "\n```"
    if path in DOCUMENTS:
        yield f"\n{_printed(path)}"


def _printed(path: str) -> str:
    document = DOCUMENTS[path]
    if isinstance(document, str):
        return f"`--json` prints the answer of `{document}`."
    kinds = document if isinstance(document, tuple) else (document,)
    return "\n\n".join(map(_schema, kinds))


def _schema(kind: Any) -> str:
    schema = msgspec.json.format(msgspec.json.encode(msgspec.json.schema(kind))).decode()
    name = f" <code>{kind.__name__}</code>" if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else " this"
    title = f"<summary><code>--json</code> prints{name} (JSON Schema)</summary>"
    return f"<details>{title}\n\n```json\n{schema}\n```\n</details>"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
