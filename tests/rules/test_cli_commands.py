"""`brh retry`, `cancel`, `extend` against an API over real HTTP: what is asked, and what comes of the answer."""

from __future__ import annotations

import asyncio
import getpass
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from streams.cli import brh
from streams.cli.order import user_name

TAKEN = {"commandId": "k-1", "transactionId": "T1", "action": "cancel"}


class Recorded:
    """A server that gives one answer and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 202
        self.answer: dict[str, Any] = TAKEN
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.url = ""

    def refuse(self, status: int, code: str) -> None:
        self.status, self.answer = status, {"code": code, "detail": "T1 is as it is."}

    async def answer_all(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, dict(request.headers), await request.json()))
        return web.json_response(self.answer, status=self.status)

    def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        async def run() -> None:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.answer_all)
            async with TestServer(app) as server:
                self.url = str(server.make_url("")).rstrip("/")
                self.loop = asyncio.get_running_loop()
                started.set()
                await stop.wait()

        asyncio.run(run())


@pytest.fixture
def api() -> Iterator[Recorded]:
    recorded, started, stop = Recorded(), threading.Event(), asyncio.Event()
    thread = threading.Thread(target=recorded.serve, args=(started, stop))
    thread.start()
    assert started.wait(20)
    yield recorded
    recorded.loop.call_soon_threadsafe(stop.set)
    thread.join(20)


def run(api: Recorded, *arguments: str) -> Result:
    return CliRunner(env={"BRH_API_URL": api.url}).invoke(brh, [*arguments])


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["retry", "T1"], {}),
        (["cancel", "T1"], {}),
        (["extend", "T1", "--by", "90m"], {"by": "PT1H30M"}),
        (["extend", "T1", "--by", "1d"], {"by": "P1D"}),
        (["extend", "T1", "--by", "P1DT0.5S"], {"by": "P1DT0.5S"}),
    ],
)
def test_a_command_is_posted_with_a_key_and_a_name(
    api: Recorded, arguments: list[str], body: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    assert run(api, *arguments).exit_code == 0
    assert run(api, *arguments, "--key", "k-1").exit_code == 0
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in api.asked]
    assert (keys[0] != keys[1], keys[1]) == (True, "k-1")
    for method, path, headers, asked in api.asked:
        assert (method, path, asked) == ("POST", f"/v1/transactions/T1/{arguments[0]}", body)
        assert headers["X-Brh-User"] == "ann"
        assert "Origin" not in headers


def test_the_answer_is_a_sentence_and_what_comes_next_or_json(api: Recorded) -> None:
    said = run(api, "cancel", "T1").stdout.splitlines()
    assert said[0] == "T1: cancel is taken, as command k-1."
    assert "brh wait T1" in said[1]
    assert json.loads(run(api, "cancel", "T1", "--json").stdout) == TAKEN


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "remedy"),
    [
        (409, "already-closed", 1, "another transaction id"),
        (409, "nothing-to-retry", 1, "`brh gaps T1`"),
        (409, "already-decided", 1, "brh retry"),
        (409, "beyond-limit", 1, "by less"),
        (409, "idempotency-key-reused", 1, "--key"),
        (409, "something-new", 1, "brh status"),
        (404, "unknown-transaction", 3, "brh list"),
        (400, "bad-parameter", 2, "Correct"),
        (503, "not-ready", 4, "--key k-1"),
        (404, "not-found", 4, "--key k-1"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_refusal_is_a_sentence_with_code_and_remedy(
    api: Recorded, status: int, code: str, exit_code: int, remedy: str, more: list[str]
) -> None:
    api.refuse(status, code)
    result = run(api, "extend", "T1", "--by", "1h", "--key", "k-1", *more)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    said, helps = result.stderr.splitlines()
    assert said.startswith("brh: T1 is as it is (" if code != "not-found" else "brh: The API at")
    assert said.endswith(f"({code})" if code != "not-found" else "(api-unreachable)")
    assert remedy in helps


def test_a_tracker_of_a_later_release_knows_what_helps_against_its_own_codes(api: Recorded) -> None:
    api.refuse(409, "something-new")
    api.answer["remedy"] = "Do the new thing."
    assert "Do the new thing." in run(api, "cancel", "T1").stderr
    api.refuse(409, "already-closed")
    api.answer["remedy"] = "Do the new thing."
    assert "another transaction id" in run(api, "cancel", "T1").stderr


def test_nobody_there_is_not_ready_and_names_the_key_it_made() -> None:
    result = CliRunner(env={"BRH_API_URL": "http://127.0.0.1:1"}).invoke(brh, ["extend", "T1", "--by", "1h"])
    assert result.exit_code == 4
    assert "With --key " in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["cancel", "a..b"],
        ["extend", "T1"],
        ["extend", "T1", "--by", "0"],
        ["extend", "T1", "--by", "7d"],
        ["extend", "T1", "--by", "P7D"],
        ["extend", "T1", "--by", "soon"],
        ["extend", "T1", "--by", "PT1H", "--for", "fun"],
    ],
)
def test_wrong_arguments_are_usage_errors(api: Recorded, arguments: list[str]) -> None:
    assert (run(api, *arguments).exit_code, api.asked) == (2, [])


def test_a_user_without_a_name_or_with_a_strange_one_can_give_commands(
    api: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert run(api, "cancel", "T1").exit_code == 0
    assert "X-Brh-User" not in api.asked[0][2]
    monkeypatch.setattr(getpass, "getuser", lambda: "a\r\nb\udc80")
    assert run(api, "cancel", "T1").exit_code == 0
    assert (api.asked[1][2]["X-Brh-User"], user_name()) == ("a\\r\\nb\\udc80", "a\\r\\nb\\udc80")


@pytest.mark.parametrize("command", ["retry", "cancel", "extend"])
def test_help_has_examples(command: str) -> None:
    assert f"brh {command} T1" in CliRunner().invoke(brh, [command, "--help"]).stdout
