"""No code that a command may end with is without a test that provokes it; these are of commands that have no others."""

from __future__ import annotations

import ast
import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_cli_fetch import Counting, outcome, stored

from bridge.topology import TopologyError
from streams.cli import brh, demo, demo_installation
from streams.cli.demo_installation import Installation
from streams.cli.errors import CliError
from streams.cli.wait import Waited
from streams.provision import ProvisionError
from streams.stack import Stack, StackError, kafka
from streams.stack import state as state_file
from streams.stack.deadline import Deadline
from streams.stack.service import Service
from streams.supervisor import Child

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[a-z]+(?:-[a-z]+)*")
IN_A_SENTENCE = re.compile(r"\((" + CODE.pattern + r")\)")


def ended(*arguments: str) -> tuple[int, str]:
    """Exit code and code of a command that fails."""
    result = CliRunner().invoke(brh, [*arguments])
    return result.exit_code, code_of(result)


def code_of(result: Result) -> str:
    said, _ = result.stderr.split("\n", 1)
    assert said.startswith("brh: "), result.output
    return said[said.rindex("(") :]


# --- the command line itself


def test_what_is_no_command_line_is_a_matter_of_usage() -> None:
    assert ended("stauts", "T1") == ended("status") == ended("status", "T1", "--wotch") == (2, "(usage)")


def test_a_shell_that_is_not_known_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    __import__("streams.cli.completion")
    monkeypatch.setattr("streams.cli.completion.get_completion_class", lambda _: None)
    assert ended("completion", "fish") == (1, "(no-shell)")


# --- brh setup


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TopologyError("brh.in is a fanout"), (1, "(setup-refused)")),
        (ProvisionError("brh.events has 3 partitions"), (1, "(setup-refused)")),
        (OSError("nobody listens"), (4, "(unreachable)")),
    ],
)
def test_setup_tells_what_is_in_the_way_from_what_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, error: Exception, wanted: tuple[int, str]
) -> None:
    async def provision(*_: object) -> list[str]:
        raise error

    __import__("streams.cli.setup")
    monkeypatch.setattr("streams.cli.setup.provision_rabbitmq", provision)
    assert ended("setup") == wanted


# --- brh run


@pytest.mark.usefixtures("logs_as_before")
def test_run_gives_up_what_never_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    __import__("streams.cli.run")
    hopeless = Child("bridge-1", (sys.executable, "-c", "raise SystemExit(7)"), {})
    monkeypatch.setattr("streams.cli.run.children", lambda *_: [hopeless])
    monkeypatch.setattr("streams.supervisor.RESTARTS_MAX", 1)
    monkeypatch.setattr("streams.supervisor.PAUSE_FIRST_S", 0.01)
    result = CliRunner().invoke(brh, ["run"])
    restarted, said = result.stderr.split("\n", 1)
    assert "process ended, is started again" in restarted
    assert (result.exit_code, said.startswith("brh: "), "(gave-up)" in said) == (1, True, True)


# --- brh demo


def silent(_: str) -> None:
    pass


def test_the_demo_ends_where_the_stack_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def up(_: Stack) -> None:
        raise StackError("kafka did not answer", code="service-not-ready", remedy="See its log.")

    monkeypatch.setattr(Stack, "up", up)
    monkeypatch.setattr(demo, "configure_logs", lambda *_: None)  # it would be those of all tests that follow
    assert ended("demo") == (4, "(stack)")


@pytest.mark.parametrize("row", [None, {"state": "Failed"}])
async def test_a_demo_that_does_not_complete_is_a_failure(monkeypatch: pytest.MonkeyPatch, row: Any) -> None:
    async def until_final(*_: object) -> Waited:
        return Waited(row)

    monkeypatch.setattr(demo, "until_final", until_final)
    api: Any = None
    with pytest.raises(CliError) as caught:
        await demo._wait(api, "T1", silent)
    assert (caught.value.code, caught.value.exit_code) == ("demo-failed", 4)


async def test_a_demo_that_fetches_other_bytes_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blobs = Counting()
    document = outcome("Completed", (await stored(blobs),))
    await blobs.write_once("T1/_outcome.json", document, content_type="application/json", metadata={})
    monkeypatch.setattr(demo, "AzureBlobs", lambda _: blobs)
    here: Any = SimpleNamespace(folder=tmp_path, client=None)
    for same in (True, False):
        sent: Any = {"a": SimpleNamespace(equals=lambda _, same=same: same)}
        if same:
            await demo._verify(here, "T1", sent, silent)
            continue
        with pytest.raises(CliError) as caught:
            await demo._verify(here, "T1", sent, silent)
        assert (caught.value.code, caught.value.exit_code) == ("bytes-differ", 5)


@pytest.mark.parametrize("keep", [False, True])
def test_the_last_line_of_a_demo_is_an_address_and_the_one_before_how_it_gets_served(
    tmp_path: Path, keep: bool
) -> None:
    said: list[str] = []
    here: Any = SimpleNamespace(
        client=SimpleNamespace(blob_container="results"), api_url="http://x:1", binds={"BRH_API_BIND": "x:1"}
    )
    demo._where_to_look(here, tmp_path / "my stack", "T1", keep, said.append)
    assert said[-1].strip() == "http://x:1/transactions/T1"
    again = f"eval \"$(brh stack env --dir '{tmp_path}/my stack')\" && BRH_API_BIND=x:1 brh run"
    assert said[-2].strip() == ("Everything runs until Ctrl-C. The page of the result:" if keep else again)


def test_a_demo_whose_processes_do_not_come_up_is_not_ready(tmp_path: Path) -> None:
    here = Installation({}, tmp_path)  # and nobody runs there
    with pytest.raises(CliError) as caught:
        asyncio.run(here.ready(timeout_s=0))
    assert (caught.value.code, caught.value.exit_code) == ("not-ready", 4)


def test_a_machine_without_a_free_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: object, **__: object) -> socket.socket:
        raise OSError("address in use")

    monkeypatch.setattr(demo_installation.socket, "create_server", taken)
    with pytest.raises(CliError) as caught:
        demo_installation._free_bind(6066)
    assert (caught.value.code, caught.value.exit_code) == ("no-port", 1)


# --- brh stack


@pytest.mark.parametrize("command", ["env", "status", "down"])
def test_a_stack_that_forgot_who_it_is_says_how_to_begin_anew(tmp_path: Path, command: str) -> None:
    (tmp_path / "state.json").write_text('{"ports": ')
    assert ended("stack", command, "--dir", str(tmp_path)) == (1, "(stack-state)")


def test_there_is_no_stack_before_up(tmp_path: Path) -> None:
    assert ended("stack", "env", "--dir", str(tmp_path)) == (3, "(no-stack)")


class Mute(Service):
    """One that never answers."""

    name = "kafka"
    port_names = ("kafka",)
    grace_s = 5.0
    lives = True

    def start(self) -> None:
        self.process.start(["sleep", "60" if self.lives else "0"], {"PATH": "/usr/bin:/bin"})

    def version(self) -> str | None:
        return None

    def answers(self) -> bool:
        return False

    def env(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize(("lives", "code"), [(True, "service-not-ready"), (False, "service-ended")])
def test_a_service_that_does_not_come_up_is_told_from_one_that_ended(tmp_path: Path, lives: bool, code: str) -> None:
    mute = Mute(tmp_path, state_file.create(tmp_path))
    mute.lives = lives
    try:
        with pytest.raises(StackError) as caught:
            mute.ensure(Deadline(0.2 if lives else 20), silent)
        assert (caught.value.code, str(mute.process.log) in caught.value.remedy) == (code, True)
    finally:
        mute.stop()


def test_a_folder_that_kafka_cannot_format_is_told_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = kafka.Kafka(tmp_path, state_file.create(tmp_path))
    monkeypatch.setattr(node, "_java", lambda *_: ["sh", "-c", "echo the disk is full >&2; exit 1"])
    with pytest.raises(StackError, match="the disk is full") as caught:
        node._format(tmp_path / "config")
    assert caught.value.code == "kafka-format"


# --- all of them


def given() -> Iterator[str]:
    """The codes in the sources of the command line, each as it is written there."""
    for file in (file for room in ("cli", "stack") for file in (ROOT / "streams" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.keyword(arg="code", value=value):
                    yield from constants(value)
                case ast.Call(func=ast.Name(id="_wrong"), args=[_, code, *_]):
                    yield from constants(code)


def constants(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and CODE.fullmatch(each.value):
            yield each.value


@cache
def looked_for() -> frozenset[str]:
    return frozenset(words())


def words() -> Iterator[str]:
    """What tests compare with a code, or look for in a sentence; a word without a hyphen may be anything else."""
    for file in (file for folder in ("rules", "edges", "system") for file in (ROOT / "tests" / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Compare() if any(
                    isinstance(each, ast.Attribute) and each.attr == "code" for each in ast.walk(node)
                ):
                    yield from constants(node)
                case ast.Constant(value=str(text)):
                    yield from IN_A_SENTENCE.findall(text) if "(" in text else ()
                    if "-" in text:
                        yield text


@pytest.mark.parametrize("code", sorted({*given()}))
def test_every_code_of_the_command_line_is_looked_for(code: str) -> None:
    assert code in looked_for()


def test_the_command_line_has_codes() -> None:
    assert {"amqp-lost", "blobs-refused", "busy", "no-stack", "other-chunks", "timeout"} <= {*given()}
