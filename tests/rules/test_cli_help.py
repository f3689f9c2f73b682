"""Help that teaches, errors that lead back, completion, and a reference that is what the code says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from reference.cli import DOCUMENTS, commands, examples_of, page
from streams.cli import COMMANDS, brh, suggestions
from streams.cli.errors import CliError

ROOT = Path(__file__).parents[2]
ALL = dict(commands())


def run(*arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(brh, [*arguments])


def told(result: Result) -> tuple[str, str, str]:
    """The sentence, the code and the remedy of an error."""
    assert result.stdout == ""
    said, remedy = result.stderr.splitlines()
    sentence, _, code = said.removesuffix(")").rpartition(" (")
    return sentence.removeprefix("brh: "), code, remedy


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_examples_of_itself_and_the_exit_codes_in_its_help(path: str) -> None:
    shown = run(*path.split(), "--help").stdout
    assert all(f"brh {path.split()[0]}" in example for example in examples_of(ALL[path]))
    for example in [*examples_of(ALL[path]), "Exit codes: 0 ok", "130 interrupted"]:
        assert example[:40] in shown


def parsed(words: list[str]) -> None:
    """Raises what click says of a command line, without running it."""
    context: Any = brh.make_context("brh", words)
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, left = context.command.resolve_command(context, rest)
        context = command.make_context(name, left, parent=context)


@pytest.mark.parametrize("example", [each for command in ALL.values() for each in examples_of(command)])
def test_every_example_can_be_typed(example: str) -> None:
    line = example.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0].partition(" && ")[0]
    words = [word for word in shlex.split(line) if not word.startswith("BRH_")]
    assert words[0] == "brh"
    parsed(words[1:])


def test_a_wrong_example_would_be_seen() -> None:
    with pytest.raises(click.UsageError):
        parsed(["list", "--stat", "Failed"])


@pytest.mark.parametrize("path", [path for path, command in ALL.items() if not isinstance(command, click.Group)])
def test_every_option_says_what_it_is_for(path: str) -> None:
    assert all(each.help for each in ALL[path].params if isinstance(each, click.Option))


def test_what_can_be_read_can_be_read_by_programs() -> None:
    speaks = {path for path, command in ALL.items() if "--json" in [o for each in command.params for o in each.opts]}
    assert speaks == set(DOCUMENTS), "the reference tells of each what it prints"
    reads = {"status", "list", "gaps", "explain", "wait", "fetch", "fsck", "dlq list", "dlq show"}
    reads |= {"stack up", "stack down", "stack status", "stack env"}
    assert reads <= speaks


def test_the_reference_is_what_the_code_says() -> None:
    assert (ROOT / "docs/cli.md").read_text() == page(), "run: python -m reference"


@pytest.mark.parametrize(
    ("arguments", "said", "meant"),
    [
        (["stats"], "No such command: stats", "Did you mean status or stack? `brh --help`"),
        (["dlq", "redrvie"], "No such command: redrvie", "Did you mean redrive? `brh dlq --help`"),
        (["xyzzy"], "No such command: xyzzy", "`brh --help` says what there is."),
        (["list", "--jsn"], "No such option: --jsn", "Did you mean --json? `brh list --help`"),
        (["status"], "Missing argument 'TXN'", "`brh status --help` says what there is."),
        (["list", "--limit", "0"], "Invalid value for '--limit': 0 is not in the range", "`brh list --help`"),
        (["list", "--state", "open"], "Invalid value for '--state': 'open' is not one of", "`brh list --help`"),
        (["list", "--type", "a.b"], "Invalid value for '--type': 'a.b' is no transaction type", "`brh list --help`"),
    ],
)
def test_a_wrong_word_is_one_sentence_with_a_code_and_what_was_meant(
    arguments: list[str], said: str, meant: str
) -> None:
    result = run(*arguments)
    sentence, code, remedy = told(result)
    assert (result.exit_code, code) == (2, "usage")
    assert sentence.startswith(said)
    assert remedy.startswith(meant)


def test_wrong_settings_are_named_with_a_remedy() -> None:
    result = run("list", BRH_PARTITIONS="0", BRH_BLOB_CONTAINER="A")
    sentence, code, remedy = told(result)
    assert (result.exit_code, code) == (2, "bad-settings")
    assert "BRH_PARTITIONS" in sentence
    assert "BRH_BLOB_CONTAINER" in sentence
    assert ".env" in remedy


def test_a_mistake_of_ours_is_a_sentence_and_its_trace_is_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("by zero\nand more")

    monkeypatch.setattr("streams.cli.list.load", broken)
    result = run("list")
    sentence, code, remedy = told(result)
    assert (result.exit_code, sentence, code) == (1, "ZeroDivisionError: by zero", "internal-error")
    trace = Path(remedy.rpartition(" ")[2].removesuffix("."))
    assert "Traceback" in trace.read_text()
    trace.unlink()


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streams.cli.list.load", interrupted)
    result = run("list")
    assert (result.exit_code, *told(result)[:2]) == (130, "brh list was interrupted", "interrupted")
    monkeypatch.setattr("streams.cli.order.load", interrupted)
    assert "counts twice" in told(run("extend", "T1", "--by", "1h"))[2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_for_its_own_answers(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_BRH_COMPLETE={shell}_complete" in result.stdout


SHELLS = ("bash", "zsh", "fish")


def completed(*words: str, shell: str = "bash", env: dict[str, str] | None = None) -> list[str]:
    """What a shell would offer for the last word, asked and answered as its script does it."""
    # fish tells the word itself, the others its number.
    word = words[-1] if shell == "fish" else str(len(words) - 1)
    asked = {"_BRH_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": word}
    program = [sys.executable, "-c", "from streams.cli import brh; brh(prog_name='brh')"]
    done = subprocess.run(
        program, env={**os.environ, **asked, **(env or {})}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    lines = done.stdout.rstrip("\n").splitlines()
    if shell == "zsh":  # kind, value and help, a line each
        assert len(lines) % 3 == 0
        return lines[1::3]
    return [line.partition(",")[2].partition("\t")[0] for line in lines if line]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_states_are_completed(shell: str) -> None:
    assert completed("brh", "e", shell=shell) == ["explain", "extend"]
    assert completed("brh", "dlq", "re", shell=shell) == ["redrive"]
    assert completed("brh", "list", "--state", "A", shell=shell) == ["AwaitingResults", "Abandoned"]
    assert set(completed("brh", "send", "T1", "--s", shell=shell)) == {"--series", "--shuffle", "--seed"}


@pytest.mark.parametrize("shell", SHELLS)
def test_without_an_api_there_are_no_ids_and_no_noise(shell: str) -> None:
    assert completed("brh", "status", "T", shell=shell, env={"BRH_API_URL": "http://127.0.0.1:1"}) == []


def test_ids_and_types_are_those_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    async def listed(_: str, params: dict[str, str]) -> list[dict[str, Any]]:
        asked.append(params)
        return [
            {"transactionId": name, "transactionType": kind, "state": "Failed"}
            for name, kind in (("T1", "a"), ("T12", "b"))
        ]

    monkeypatch.setattr(suggestions, "_listed", listed)
    parameter = ALL["status"].params[0]
    context = ALL["status"].make_context("status", [], resilient_parsing=True)
    assert [(each.value, each.help) for each in parameter.shell_complete(context, "T1")] == [
        ("T1", "Failed"),
        ("T12", "Failed"),
    ]
    assert asked[-1]["prefix"] == "T1", "however many come before"
    (kind,) = (each for each in ALL["list"].params if each.name == "transaction_type")
    assert [each.value for each in kind.shell_complete(context, "")] == ["a", "b"]

    async def failing(_: str, __: dict[str, str]) -> list[dict[str, Any]]:
        raise CliError("x", code="api-unreachable", remedy="y")

    monkeypatch.setattr(suggestions, "_listed", failing)
    assert parameter.shell_complete(context, "T1") == []


def test_the_groups_name_every_command_once() -> None:
    modules = {file.stem for file in (ROOT / "streams/cli").glob("*.py") if "\ndef command(" in file.read_text()}
    assert modules == set(COMMANDS)


def test_schemas_are_json() -> None:
    blocks = page().split("```json\n")[1:]
    assert len(blocks) >= 7
    for block in blocks:
        assert isinstance(json.loads(block.partition("```")[0]), dict)


def test_schemas_of_one_command_are_told_apart() -> None:
    sections = page().split("\n### brh ")[1:]
    for section in sections:
        titles = [line for line in section.splitlines() if "<summary>" in line]
        assert len(set(titles)) == len(titles), section.partition("\n")[0]
    (send,) = (section for section in sections if section.startswith("send\n"))
    assert "<code>SendSummary</code>" in send
    assert "<code>Verdicts</code>" in send
