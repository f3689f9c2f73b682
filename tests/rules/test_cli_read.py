"""The read commands: exit codes that scripts rely on, JSON as the API gave it, and a help that imports nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from streams import cli
from streams.cli import brh, wait
from streams.cli.client import Api, refused, unreachable
from streams.cli.errors import CliError


def row(state: str, **members: Any) -> dict[str, Any]:
    times = {"created": "C", "lastUpdated": "U", "completed": None}
    shown = {"transactionId": "T1", "transactionType": "default", "state": state, "header": None, "series": []}
    none = {"next": None, "kind": None, "awaiting": None}
    return {**shown, "timestamps": times, "deadlines": none, "problem": None, "blobUri": None, **members}


UNKNOWN = refused(404, {"code": "unknown-transaction", "detail": "Nothing was ever heard of T1."})
RECOVERING = refused(503, {"code": "not-ready", "detail": "recovering 1 of 8 partitions"})
AWAY = unreachable("http://x", "connection refused")
BROKEN = refused(500, {"code": "internal-error", "detail": "The log tells."})
PROBLEM = {"code": "conflicting-header", "title": "Two headers", "detail": "They differ."}

Answer = dict[str, Any] | CliError


class Script:
    """An API that gives these answers, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)

    async def transaction(self, _: str, **__: float) -> dict[str, Any]:
        return self._next()

    async def gaps(self, _: str) -> dict[str, Any]:
        return self._next()

    async def explanation(self, _: str) -> dict[str, Any]:
        return self._next()

    async def transactions(self, params: dict[str, str]) -> dict[str, Any]:
        self.params = params
        return self._next()

    def _next(self) -> dict[str, Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, CliError):
            raise answer
        return answer


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("streams.cli.wait.POLL_INTERVAL_S", 0.001)
    monkeypatch.setattr("streams.cli.status.WATCH_INTERVAL_S", 0.001)

    def invoke(api: Script, *arguments: str) -> Result:
        @asynccontextmanager
        async def connected(_: str) -> AsyncIterator[Any]:
            yield api

        monkeypatch.setattr(f"streams.cli.{arguments[0]}.connected", connected)
        return CliRunner().invoke(brh, list(arguments))

    for name in ("list", "status", "gaps", "explain", "wait"):
        __import__(f"streams.cli.{name}")
    return invoke


@pytest.mark.parametrize(("error", "code"), [(UNKNOWN, 3), (RECOVERING, 4), (AWAY, 4), (BROKEN, 1)])
@pytest.mark.parametrize(
    "command", [["status", "T1"], ["gaps", "T1"], ["explain", "T1"], ["list"], ["status", "T1", "--json"]]
)
def test_errors_have_their_exit_code_and_a_remedy(run: Run, error: CliError, code: int, command: list[str]) -> None:
    result = run(Script(error), *command)
    assert (result.exit_code, result.stdout) == (code, "")
    said, remedy = result.stderr.splitlines()
    assert said.startswith("brh: ")
    assert said.endswith(f"({error.code})")
    assert remedy == error.remedy


def test_json_is_the_object_of_the_api(run: Run) -> None:
    assert json.loads(run(Script(row("Failed")), "status", "T1", "--json").stdout) == row("Failed")
    assert json.loads(run(Script({"a": 1}), "gaps", "T1", "--json").stdout) == {"a": 1}
    assert json.loads(run(Script({"a": 1}), "explain", "T1", "--json").stdout) == {"a": 1}
    assert json.loads(run(Script({"transactions": [], "next": None}), "list", "--json").stdout)["next"] is None


def test_list_asks_for_what_is_given(run: Run) -> None:
    api = Script({"transactions": [], "next": "more"})
    result = run(api, "list", "--state", "Failed", "--type", "x", "--prefix", "T", "--limit", "7", "--after", "c")
    assert api.params == {"state": "Failed", "type": "x", "prefix": "T", "limit": "7", "after": "c"}
    assert "--after more" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["list", "--limit", "0"], ["list", "--state", "open"], ["status"], ["wait", "T1", "--timeout", "x"]]
)
def test_wrong_arguments_are_usage_errors(run: Run, arguments: list[str]) -> None:
    assert run(Script(row("Failed")), *arguments).exit_code == 2


def test_wait_lasts_through_everything_that_passes(run: Run) -> None:
    result = run(Script(AWAY, RECOVERING, UNKNOWN, row("AwaitingResults"), AWAY, row("Completed")), "wait", "T1")
    assert result.exit_code == 0
    assert result.stdout.startswith("T1 Completed")


@pytest.mark.parametrize("state", ["Failed", "Abandoned"])
def test_wait_for_what_does_not_complete_is_exit_code_1(run: Run, state: str) -> None:
    result = run(Script(row(state, problem=PROBLEM)), "wait", "T1", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == state
    assert "They differ (conflicting-header)" in result.stderr


@pytest.mark.parametrize("answer", [row("AwaitingResults"), row("SendingCompletion"), UNKNOWN, RECOVERING, AWAY])
def test_wait_ends_with_exit_code_4_at_the_timeout(run: Run, answer: Answer) -> None:
    result = run(Script(answer), "wait", "T1", "--timeout", "20ms")
    assert result.exit_code == 4
    assert "(timeout)" in result.stderr


def test_wait_says_how_far_it_is_only_where_somebody_watches(run: Run) -> None:
    half = row("AwaitingResults", header={}, series=[{"totalCount": 2, "receivedCount": 1, "bytes": 100}])
    answers = half, row("Completed", header={}, series=[{"totalCount": 2, "receivedCount": 2, "bytes": 200}])
    watched = run(Script(*answers), "wait", "T1", "--watch")
    assert watched.stderr == "T1: 100 bytes of 200 bytes (50 %), AwaitingResults, 1 of 2 payloads\n"
    assert watched.stdout.startswith("T1 Completed")
    for quiet in (["wait", "T1"], ["wait", "T1", "--watch", "--json"]):
        result = run(Script(*answers), *quiet)
        assert (result.exit_code, result.stderr) == (0, "")


def test_wait_shows_what_it_knew_last(run: Run) -> None:
    result = run(Script(row("AwaitingResults"), AWAY), "wait", "T1", "--timeout", "20ms", "--json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (4, "AwaitingResults")


def test_wait_does_not_wait_for_what_time_does_not_mend(run: Run) -> None:
    assert run(Script(BROKEN), "wait", "T1").exit_code == 1


def test_watch_prints_each_change_until_the_outcome(run: Run) -> None:
    answers = [row("AwaitingResults"), row("AwaitingResults"), RECOVERING, row("Completed")]
    lines = run(Script(*answers), "status", "T1", "--watch", "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["AwaitingResults", "Completed"]
    shown = run(Script(*answers), "status", "T1", "--watch").stdout
    assert shown.count("T1  AwaitingResults") == 1
    assert "recovering 1 of 8" in shown


async def ask(handler: Callable[[web.Request], Any]) -> dict[str, Any]:
    app = web.Application()
    app.router.add_get("/v1/transactions/T1", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        return await Api(str(server.make_url("/")), session).transaction("T1", timeout_s=0.5)


async def test_an_answer_is_its_object() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"a": 1})

    assert await ask(handler) == {"a": 1}


@pytest.mark.parametrize(
    ("status", "body", "exit_code", "code"),
    [
        (404, b'{"code": "unknown-transaction"}', 3, "unknown-transaction"),
        (404, b'{"code": "not-found"}', 4, "api-unreachable"),
        (200, b"<html>", 4, "api-unreachable"),
        (200, b"[]", 4, "api-unreachable"),
        (302, b"", 4, "api-unreachable"),
        (400, b'{"code": "bad-parameter", "detail": "limit"}', 2, "bad-parameter"),
        (401, b'{"code": "no-token"}', 1, "no-token"),
        (500, b"{}", 1, "500"),
        (503, b'{"code": "not-ready"}', 4, "not-ready"),
    ],
)
async def test_other_answers_are_errors(status: int, body: bytes, exit_code: int, code: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    with pytest.raises(CliError) as caught:
        await ask(handler)
    assert (caught.value.exit_code, caught.value.code) == (exit_code, code)


async def test_nobody_there_is_not_ready() -> None:
    async with aiohttp.ClientSession() as session:
        for url, exit_code in (("http://127.0.0.1:1", 4), ("nonsense", 2), ("ftp://x", 2)):
            with pytest.raises(CliError) as caught:
                await Api(url, session).transaction("T1")
            assert caught.value.exit_code == exit_code


def test_help_imports_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", lambda _: pytest.fail("help imports a command"))
    result = CliRunner().invoke(brh, ["--help"])
    assert result.exit_code == 0
    for name in cli.COMMANDS:
        assert name in result.stdout


def test_a_command_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "later", "comes later")
    assert CliRunner().invoke(brh, ["--help"]).exit_code == 0
    result = CliRunner().invoke(brh, ["later"])
    assert (result.exit_code, "no later command (not-installed)" in result.stderr) == (1, True)


def test_final_states_are_the_only_end_of_waiting() -> None:
    assert [
        state
        for state in ("AwaitingResults", "SendingCompletion", "Completed", "Failed", "Abandoned")
        if wait.Waited(row(state)).final
    ] == ["Completed", "Failed", "Abandoned"]
