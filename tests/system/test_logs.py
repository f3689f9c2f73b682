"""Through every failure that we know how to make, nothing secret and nobody's bytes are told to anybody."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

import aio_pika
import pytest

from tests.support.outside import (
    Chunks,
    assert_completed,
    dead_letters,
    header_message,
    listening,
    payload_message,
    publish,
    publish_messages,
)
from tests.support.world import World, free_port

BODY: Final = "CANARY-of-a-body"
PASSWORD: Final = "CANARY-password-of-a-user"
WRONG: Final = "CANARY-password-that-is-wrong"
KEY: Final = "Q0FOQVJZLWtleS10aGF0LWlzLXdyb25nLUNBTkFSWQ=="
READ: Final = "CANARY-token-to-read-0123456789abcdef"
OPERATE: Final = "CANARY-token-to-operate-0123456789abcdef"
HOSTILE: Final = "T\n2026-01-01T00:00:00Z forged \x1b[2J\u202e\u2028"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def world(stack_env: dict[str, str], tmp_path: Path) -> Iterator[World]:
    """It logs JSON, and its processes log in as a user of their own."""
    env = {"BRH_LOG_FORMAT": "json", "BRH_API_READ_TOKEN": READ, "BRH_API_OPERATE_TOKEN": OPERATE}
    made = World(stack_env, tmp_path / "world", trackers=2, env=env)
    host, user = made.virtual_host, f"u{made.name}"
    host.make()
    host.ask("PUT", f"/api/users/{user}", {"password": PASSWORD, "tags": ""})
    host.ask("PUT", f"/api/permissions/{made.name}/{user}", dict.fromkeys(("configure", "write", "read"), ".*"))
    made.env["BRH_AMQP_URL"] = address(host.url, user, PASSWORD)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        host.ask("DELETE", f"/api/users/{user}")


def ran(world: World, *argv: str, **changes: str) -> str:
    """All that a program of the product says that ends in an error."""
    env = {**os.environ, **world.env, **{f"BRH_{name.upper()}": value for name, value in changes.items()}}
    done = subprocess.run([sys.executable, *argv], env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0, done
    return (done.stdout + done.stderr).decode()


def brh(world: World, *arguments: str, **changes: str) -> str:
    return ran(world, "-c", "from streams.cli import main; main()", *arguments, **changes)


def address(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()


def answer(world: World, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> str:
    """Status, headers and body."""
    request = Request(world.api + path, method=method, headers=dict(headers), data=body)
    try:
        with urlopen(request, timeout=10) as found:
            return f"{found.status} {found.headers} {found.read().decode()}"
    except HTTPError as error:
        with error:
            return f"{error.code} {error.headers} {error.read().decode()}"


async def invalid_messages(world: World, txn: str) -> int:
    """Of every kind that a body or an id can spoil; how many are refused."""
    secret = BODY.encode()
    wrong = payload_message(txn, "s", 1, 2, secret, brh_sha256="0" * 64)
    hostile = payload_message(HOSTILE, "s", 1, 2, secret)
    series = payload_message(txn, HOSTILE, 1, 2, secret)
    headers = [header_message(txn, {"series": BODY}), header_message(txn, {BODY: [BODY]}), header_message(txn, BODY)]
    headers += [aio_pika.Message(secret, type="brh.header.v1", correlation_id=txn, content_type="application/json")]
    typeless = aio_pika.Message(secret, type=HOSTILE, correlation_id=txn)
    sent = [("small.s", each) for each in (wrong, hostile, series, typeless)]
    await publish_messages(world, [*sent, *(("header.default", each) for each in headers)])
    return len(sent) + len(headers)


async def test_nothing_secret_is_told_on_any_way_that_fails(world: World) -> None:
    told: dict[str, str] = {}
    txn, failed = (f"T-{uuid4().hex[:10]}" for _ in range(2))
    async with listening(world, "#") as heard:
        refused = await invalid_messages(world, txn)
        letters = await dead_letters(world, refused)
        told["reasons of dead letters"] = str([letter.headers.get("x-death") for letter in letters])
        contradiction = [payload_message(failed, "s", 1, 2, text.encode()) for text in (BODY, f"{BODY} 2")]
        header = header_message(failed, {"series": [{"type": "s"}]})
        await publish_messages(world, [("header.default", header), *(("small.s", each) for each in contradiction)])
        await asyncio.to_thread(world.wait_state, failed, {"Failed"})
        chunks = Chunks(txn, [10, 20])
        await publish(world, txn, {"s": chunks})
        await assert_completed(world, txn, {"s": chunks})
        await heard.wait(failed)
        told["events"] = str([(message.body, message.headers) for message in heard.messages])

    for name, said in (await asyncio.to_thread(on_the_way_in, world, failed)).items():
        told[name] = said
    await asyncio.to_thread(world.kill, "tracker-1")
    await asyncio.to_thread(world.wait_ready)
    await asyncio.to_thread(world.end_processes)
    told["logs"] = world.log.read_text()

    secrets = [BODY, PASSWORD, WRONG, KEY, READ, OPERATE, *account_keys(world)]
    assert {name: secret for name, said in told.items() for secret in secrets if secret in said} == {}
    assert {name for name, said in told.items() if not said} == set()
    lines = [parsed(line) for line in told["logs"].splitlines()]
    assert {line["process"] for line in lines} == {"bridge", "tracker", "delivery"}
    assert any("message rejected" in line["event"] for line in lines), "what failed was logged"


def on_the_way_in(world: World, failed: str) -> dict[str, str]:
    """What those are told that cannot come in, or ask for what is not to be had."""
    token = {"Authorization": f"Bearer {WRONG}"}
    operate = {"Authorization": f"Bearer {OPERATE}"}
    wrong = address(world.amqp_url, f"u{world.name}", WRONG)
    away = f"127.0.0.1:{free_port()}"
    bad_key = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};"
    blob = f"{bad_key}BlobEndpoint={endpoint(world)};"
    binds = {"bridge_bind": f"127.0.0.1:{free_port()}", "api_bind": f"127.0.0.1:{free_port()}"}
    return {
        "a bridge with a wrong password": ran(world, "-m", "bridge", amqp_url=wrong, **binds),
        "a bridge without Kafka": ran(world, "-m", "bridge", kafka_bootstrap=away, **binds),
        "a doctor with a wrong key": brh(world, "doctor", blob_connection_string=blob),
        "a doctor with a wrong password": brh(world, "doctor", amqp_url=wrong),
        "a sender with a wrong password": brh(world, "send", "T", "--series", f"s={__file__}", amqp_url=wrong),
        "a command with a wrong token": brh(world, "cancel", failed, api_operate_token=WRONG, api_read_token=WRONG),
        "fsck with a wrong key": brh(world, "fsck", blob_connection_string=blob),
        "setup without Kafka": brh(world, "setup", kafka_bootstrap=away),
        "a wrong token": answer(world, "GET", "/v1/transactions", token),
        "a wrong token for a command": answer(world, "POST", f"/v1/transactions/{failed}/cancel", token),
        "a command that is not allowed": answer(world, "POST", f"/v1/transactions/{failed}/cancel", operate, b"{}"),
        "a body that is none": answer(world, "POST", f"/v1/transactions/{failed}/extend", operate, BODY.encode()),
        "an id that is none": answer(world, "GET", f"/v1/transactions/%0a{'x' * 300}", operate),
        "explain": answer(world, "GET", f"/v1/transactions/{failed}/explain", operate),
        "the transaction": answer(world, "GET", f"/v1/transactions/{failed}", operate),
        "metrics": answer(world, "GET", "/metrics", operate),
        "its page": answer(world, "GET", f"/transactions/{failed}", operate),
    }


def endpoint(world: World) -> str:
    settings = dict(part.split("=", 1) for part in connection_string(world).split(";") if part)
    return settings["BlobEndpoint"]


def account_keys(world: World) -> list[str]:
    settings = dict(part.split("=", 1) for part in connection_string(world).split(";") if part)
    return [settings["AccountKey"]]


def connection_string(world: World) -> str:
    found = world.settings.blob_connection_string
    assert found is not None
    return found.get_secret_value()


def parsed(line: str) -> dict[str, Any]:
    """A line of the world's log: the name of the process, and what it wrote."""
    name, _, said = line.partition(" ")
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError:
        raise AssertionError(f"{name} wrote what is no JSON: {said}") from None
    return found
