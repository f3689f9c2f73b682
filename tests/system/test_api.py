"""The API of a real installation with two trackers and tokens: whichever is asked, the answer is the same."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from click.testing import CliRunner

from streams.cli import brh
from streams.cli.errors import EXIT_NOT_READY
from tests.support.outside import Chunks, publish, publish_header, publish_payloads
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
READ, OPERATE = "r-secret", "o-secret"
EVENTS = "/v1/transactions/{id}/events"
ONE_EVENT = {
    "required": ["id", "event", "data"],
    "properties": {
        "event": {"enum": ["snapshot", "progress", "state", "end"]},
        "data": {"type": "string", "pattern": '^{"transactionId":"T-.*}$'},
    },
}
"""OpenAPI 3.1 has no word for it: schemathesis takes that of 3.2."""
VAGUE = ("/v1/transactions", "/v1/transactions/{id}/extend")
"""Paths of calls whose schemas cannot say all that a cursor or a duration has to be."""


@pytest.fixture(scope="module")
def guarded(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tokens = {"BRH_API_READ_TOKEN": READ, "BRH_API_OPERATE_TOKEN": OPERATE}
    world = World(stack_env, tmp_path_factory.mktemp("guarded"), trackers=2, env=tokens)
    world.start()
    yield world
    world.stop()


@pytest.fixture
def txn() -> str:
    return f"T-{uuid4().hex[:12]}"


async def ask(url: str, *, method: str = "GET", token: str = "") -> tuple[int, Any]:
    """What is answered, but for 503, which is asked again for a while."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            async with session.request(method, url, headers=headers) as answer:
                if answer.status != 503:
                    return answer.status, await answer.json(content_type=None)
            await asyncio.sleep(0.05)


async def begin(world: World, txn: str) -> None:
    """A transaction that lacks one payload of two, and is shown by every tracker."""
    await publish_header(world, txn, {"series": [{"type": "s"}]})
    await publish_payloads(world, txn, {"s": Chunks(txn, [100, 200])}, [1])
    await asyncio.to_thread(until, lambda: world.transaction(txn), 30, f"{txn} is known; see {world.log}")


async def test_with_tokens_nothing_is_told_without_one_and_trackers_ask_each_other(guarded: World, txn: str) -> None:
    names = [f"{txn}-{number}" for number in range(6)]  # of both trackers, but once in 32
    for name in names:
        await begin(guarded, name)
    for path in (f"/v1/transactions/{txn}-0", f"/table/transactions/{txn}-0/", "/v1/transactions", "/nothing", "/"):
        assert (await ask(guarded.api + path))[0] == 401
        assert (await ask(guarded.api + path, token="x"))[0] == 401
    assert (await ask(f"{guarded.api}/version"))[0] == (await ask(f"{guarded.api}/readyz"))[0] == 200
    for name in names:
        status, found = await ask(f"{guarded.api}/v1/transactions/{name}", token=READ)
        assert (status, found["transactionId"]) == (200, name)
        status, shown = await ask(f"{guarded.api}/table/transactions/{name}/", token=READ)
        assert (status, name in str(shown)) == (200, True), "Faust's own views, wherever the row is"
    url = f"{guarded.api}/v1/transactions/{names[0]}/cancel"
    assert (await ask(url, method="POST", token=READ))[0] == 403
    assert (await ask(url, method="POST", token=OPERATE))[0] == 202
    assert "secret" not in guarded.log.read_text()


def test_the_command_line_shows_its_token(guarded: World) -> None:
    env = {name: value for name, value in guarded.env.items() if not name.endswith("_TOKEN")}
    refused = CliRunner(env=env).invoke(brh, ["list"])
    assert (refused.exit_code, "(token-missing)" in refused.stderr) == (1, True)
    listed = CliRunner(env=env | {"BRH_API_READ_TOKEN": READ}).invoke(brh, ["list", "--json"])
    assert listed.exit_code in (0, EXIT_NOT_READY), listed.stderr


@pytest.mark.parametrize("bind", ["0.0.0.0:6066", "[::]:6066"])
def test_a_tracker_without_tokens_refuses_to_be_reached_from_elsewhere(bind: str) -> None:
    command = [sys.executable, "-m", "faust", "-A", "streams.app", "worker"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("BRH_")} | {"BRH_API_BIND": bind}
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "tracker: BRH_API_BIND" in ended.stderr
    assert "(bad-settings)" in ended.stderr


async def test_everything_is_answered_as_openapi_says_and_what_is_wrong_with_400(
    guarded: World, txn: str, tmp_path: Path
) -> None:
    done = f"{txn}-done"
    await begin(guarded, txn)
    await publish(guarded, done, {"s": Chunks(done, [10])})
    await asyncio.to_thread(guarded.wait_state, done, ["Completed"])
    status, document = await ask(f"{guarded.api}/openapi.json", token=READ)
    assert status == 200
    for path, calls in document["paths"].items():
        named = {"done": done, "unknown": f"{txn}-unknown"} if path == EVENTS else {"open": txn, "done": done}
        for parameter in (each for call in calls.values() for each in call.get("parameters", ())):
            if parameter["name"] == "id":
                parameter["examples"] = {name: {"value": each} for name, each in named.items()}
    followed = document["paths"][EVENTS]["get"]["responses"]["200"]
    followed["content"]["text/event-stream"] = {"itemSchema": ONE_EVENT}
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(document))
    others = [option for path in (*VAGUE, EVENTS) for option in ("--exclude-path", path)]
    assert await asked_everything(guarded, described, others) > 200
    vague = [option for path in VAGUE for option in ("--include-path", path)]
    vague += ["--exclude-checks", "positive_data_acceptance"]
    assert await asked_everything(guarded, described, vague) > 40
    # Whoever follows an open transaction waits: those of this pass have ended, or are not there. It is a pass of its
    # own because ids that other answers have told would be asked for as well.
    assert await asked_everything(guarded, described, ["--include-path", EVENTS]) > 20


async def asked_everything(world: World, described: Path, chosen: list[str]) -> int:
    """How many requests to the chosen calls were answered as they should be; all were."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", str(described), "--url", world.api]
    command += ["--header", f"Authorization: Bearer {OPERATE}", "--request-timeout", "10", "--max-examples", "20"]
    command += ["--phases", "examples,coverage,fuzzing", "--checks", "all", "--continue-on-failure"]
    command += ["--generation-database", ":memory:", "--seed", "1", *chosen]
    asked = await asyncio.create_subprocess_exec(*command, cwd=described.parent, stdout=PIPE, stderr=STDOUT)
    said = (await asked.communicate())[0].decode()
    assert asked.returncode == 0, said
    return int(re.findall(r"([0-9]+) passed, [0-9]+ skipped", said)[-1])


async def test_the_summary_counts_what_is_there_whichever_tracker_is_asked(guarded: World, txn: str) -> None:
    names = [f"{txn}-{number}" for number in range(6)]
    before = await counted(guarded)
    for name in names:
        await begin(guarded, name)
    guarded.kill("tracker-2")
    _, listed = await ask(f"{guarded.api}/v1/transactions?limit=1000", token=READ)
    expected = Counter(each["state"] for each in listed["transactions"])
    found = await counted(guarded)
    assert {state: count for state, count in found["states"].items() if count} == expected
    assert found["open"] - before["open"] == len(names)
    oldest = min(each["created"] for each in listed["transactions"] if each["state"] == "AwaitingResults")
    assert found["oldestOpen"]["created"] == oldest
    assert set(found["rates"]["seconds"]) == {"payloads", "bytes"}


async def counted(world: World) -> dict[str, Any]:
    status, found = await ask(f"{world.api}/v1/summary", token=READ)
    assert status == 200
    assert isinstance(found, dict)
    return found


async def test_a_transaction_is_followed_to_its_end_while_a_tracker_is_killed(guarded: World, txn: str) -> None:
    names = [f"{txn}-{number}" for number in range(6)]  # of both trackers, but once in 32
    for name in names:
        await begin(guarded, name)
    following = [asyncio.create_task(followed(guarded, name)) for name in names]
    guarded.kill("tracker-2")
    for name in names:
        await publish_payloads(guarded, name, {"s": Chunks(name, [100, 200])}, [2])
    for name, (kinds, last, last_id) in zip(names, await asyncio.gather(*following), strict=True):
        assert (kinds[0], kinds[-2:]) == ("snapshot", ["state", "end"])
        assert set(kinds[1:-2]) <= {"progress", "state"}
        assert (last["transactionId"], last["state"]) == (name, "Completed")
        url = f"{guarded.api}/v1/transactions/{name}/events"
        headers = guarded.access | {"Last-Event-ID": last_id}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as again:
            assert again.status in (204, 503)


async def followed(world: World, txn: str) -> tuple[list[str], dict[str, Any], str]:
    """Kinds of all messages, what the last one said, and its id."""
    kinds: list[str] = []
    said: dict[str, str] = {}
    url = f"{world.api}/v1/transactions/{txn}/events"
    async with asyncio.timeout(90), aiohttp.ClientSession(headers=world.access) as session:
        while not kinds:
            async with session.get(url) as answer:
                assert answer.status in (200, 503), "nobody may know for a moment"
                async for line in answer.content:
                    if answer.status == 503:
                        break
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    said[name] = value
                    kinds += [value] if name == "event" else []
            await asyncio.sleep(0.05)
    return kinds, json.loads(said["data"]), said["id"]
