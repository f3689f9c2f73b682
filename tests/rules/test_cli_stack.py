"""`brh stack` for programs: one JSON document on stdout, and the steps beside it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from reference.cli import DOCUMENTS
from streams.cli import brh
from streams.stack import ServiceStatus, Stack

LEFT = [
    ServiceStatus("rabbitmq", 4711, 5672, ready=True, version="3.13"),
    ServiceStatus("kafka", None, None, ready=False, version=None),
]


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: Stack, *_: object, **__: object) -> None:
        self._say("rabbitmq: a step")

    monkeypatch.setattr(Stack, "up", step)
    monkeypatch.setattr(Stack, "down", step)
    monkeypatch.setattr(Stack, "status", lambda _: LEFT)


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_program_gets_what_is_left_of_the_services_and_nothing_else(command: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(brh, ["stack", command, "--dir", str(tmp_path), "--json"])
    found = json.loads(result.stdout)
    assert (result.exit_code, found) == (0, {"services": msgspec.to_builtins(LEFT)})
    Draft202012Validator(msgspec.json.schema(DOCUMENTS[f"stack {command}"])).validate(found)
    assert result.stderr == ("" if command == "status" else "rabbitmq: a step\n")


@pytest.mark.parametrize("command", ["up", "down"])
def test_people_get_the_steps(command: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(brh, ["stack", command, "--dir", str(tmp_path)])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "rabbitmq: a step\n", "")
