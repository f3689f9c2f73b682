"""Processes that cannot connect, cannot start or fail at their work tell it, and nothing that must not be told.

One scenario is played for the whole module: every password, token, body and foreign header has a canary in it, and what
processes and commands said is then searched for them. `test_logs.py` looks at an installation that works.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import pytest

from bridge.log_lines import printable
from bridge.topology import HEADERS
from tests.support.outside import header_message, listening, payload_message, publish_messages
from tests.support.raising import RAISED
from tests.support.world import World, free_port, until

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[2]
IN_BODY, IN_HEADER = "canary-in-a-body", "canary-in-a-header"
TOKEN, OTHER_TOKEN = "canary-as-the-token", "canary-as-another-token"
PASSWORD, KAFKA_PASSWORD = "canary-as-a-password", "canary-of-kafka"
KEY = b64encode(b"canary-as-the-key-of-storage").decode()
CANARIES = (IN_BODY, IN_HEADER, TOKEN, OTHER_TOKEN, PASSWORD, KAFKA_PASSWORD, KEY)
HOSTILE = "T\x1b[31m\n2026-01-01T00:00:00.000Z [info     ] forged \u202e\u2028"
MEMBERS = {"timestamp", "level", "logger", "event", "process", "instance"}
BRIDGE = ("bridge",)
TRACKER = ("faust", "-A", "streams.app", "worker")
DELIVERY = ("faust", "--quiet", "-A", "streams.delivery", "worker")
ENDED_S = 60.0


class Said:
    """What each process and command has told, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, str] = {}
        self.others: dict[str, str] = {}

    def run(self, name: str, env: Mapping[str, str], *module: str, told: str, planted: bool = False) -> None:
        """One process, until it has said something or ended; then it is asked to end."""
        file = self.folder / f"{name}.log"
        clean = {each: value for each, value in os.environ.items() if not each.startswith("BRH_")}
        command = [sys.executable, "-m", *(("tests.support.raising",) if planted else ()), *module]
        with file.open("wb") as out:
            process = subprocess.Popen(command, env={**clean, **env}, cwd=ROOT, stdout=out, stderr=out)
        try:
            until(lambda: told in file.read_text() or process.poll() is not None, ENDED_S, f"{told}: see {file}")
            process.send_signal(signal.SIGTERM)
            process.wait(ENDED_S)
        finally:
            process.kill()
            process.wait()
        self.processes[name] = file.read_text()
        assert told in self.processes[name], self.processes[name][-3_000:]

    def command(self, name: str, env: Mapping[str, str], *words: str) -> None:
        """A command of `brh` that fails."""
        clean = {each: value for each, value in os.environ.items() if not each.startswith("BRH_")}
        ran = subprocess.run(
            [sys.executable, "-c", "from streams.cli import main; main()", *words],
            env={**clean, **env},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=ENDED_S,
            check=False,
        )
        assert ran.returncode != 0, f"brh {' '.join(words)} did not fail: {ran.stdout}"
        self.others[name] = ran.stdout + ran.stderr


def with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}"))


def messages(transaction: str) -> list[tuple[str, aio_pika.Message]]:
    """Refused ones, and one that goes through."""
    found = []
    body = IN_BODY.encode() * 10

    def add(routing_key: str, message: aio_pika.Message) -> None:
        message.headers["x-customer"] = IN_HEADER
        found.append((routing_key, message))

    add("small.s", payload_message(HOSTILE, "s", 1, 2, body))
    add("small.s", payload_message(transaction, HOSTILE, 1, 2, body))
    add("small.s", payload_message(transaction, "s", 0, 2, body))
    add("small.s", payload_message(transaction, "s", 1, 2, body, brh_sha256="0" * 64))
    add("payload.s", payload_message(transaction, "s", 1, 2, body * 10_000, brh_sha256="0" * 64))
    for content in (f'{{"series": [{{"type": "{IN_BODY}"', f'{{"series": "{IN_BODY}"}}', f'["{IN_BODY}"]'):
        broken = header_message(transaction, {})
        broken.body = content.encode()
        add("header.default", broken)
    add("small.s", payload_message(transaction, "s", 1, 2, body))
    return found


REFUSED = 8


async def send(world: World, transaction: str) -> None:
    """Until all of them have been judged."""
    async with listening(world, "message.rejected.#") as heard:
        await publish_messages(world, messages(transaction))
        async with asyncio.timeout(60):
            while len({each.message_id for each in heard.messages}) < REFUSED:
                await asyncio.sleep(0.05)


def play(world: World, said: Said) -> None:
    """Everything that fails, one after the other."""
    transaction = f"T-{uuid4().hex[:12]}"
    asyncio.run(send(world, transaction))
    commands(world, said, transaction)
    world.end_processes()
    lines = [line.partition(" ") for line in world.log.read_text().splitlines()]
    for name in {name for name, _, _ in lines}:
        said.processes[name] = "\n".join(line for each, _, line in lines if each == name)
    asyncio.run(publish_messages(world, [("header.default", header_message(transaction, {"series": [{"type": "s"}]}))]))
    fail_to_connect(world, said)
    fail_at_work(world, said)


def commands(world: World, said: Said, transaction: str) -> None:
    login = world.env | {"BRH_AMQP_URL": with_password(world.amqp_url, PASSWORD)}
    nobody = world.env | {"BRH_AMQP_URL": with_password(f"amqp://u:p@127.0.0.1:{free_port()}/", PASSWORD)}
    kafka = world.env | without_kafka()
    said.command("setup, refused", login, "setup")
    said.command("dlq, refused", login, "dlq", "list")
    said.command("send to nobody", nobody, "send", transaction, "--series", "s=README.md")
    said.command("replay without Kafka", kafka | {"BRH_PRODUCE_TIMEOUT_S": "1"}, "replay", transaction)
    said.command("list, another token", world.env | {"BRH_API_OPERATE_TOKEN": OTHER_TOKEN}, "list")
    for name, env in unreadable_settings().items():
        for words in (("send", transaction, "--series", "s=README.md"), ("bridge",)):
            said.command(f"{words[0]}, {name}", world.env | env, *words)


def unreadable_settings() -> dict[str, dict[str, str]]:
    return {
        "no token": {"BRH_API_OPERATE_TOKEN": f"{TOKEN} {TOKEN}", "BRH_AMQP_URL": f"amqp://u:{PASSWORD}@h:70000/"},
        "odd URL": {"BRH_AMQP_URL": f"amqp://u:{PASSWORD}\uff20h/", "BRH_PROFILE": "production"},
        "no account": {"BRH_BLOB_CONNECTION_STRING": f"AccountKey={KEY}", "BRH_AMQP_URL": f"amqp://u:{PASSWORD}@h:x/"},
    }


def wrong_key(world: World) -> str:
    return ";".join(
        f"AccountKey={KEY}" if each.startswith("AccountKey=") else each
        for each in world.env["BRH_BLOB_CONNECTION_STRING"].split(";")
    )


def without_kafka() -> dict[str, str]:
    return {
        "BRH_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "BRH_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "BRH_KAFKA_SECURITY_USER": "somebody",
        "BRH_KAFKA_SECURITY_PASSWORD": KAFKA_PASSWORD,
    }


def fail_to_connect(world: World, said: Said) -> None:
    login = world.env | {"BRH_AMQP_URL": with_password(world.amqp_url, PASSWORD)}
    key = world.env | {"BRH_BLOB_CONNECTION_STRING": wrong_key(world)}
    said.run("bridge, refused", login, *BRIDGE, told="ACCESS_REFUSED")
    said.run("delivery, refused", login, *DELIVERY, told="ACCESS_REFUSED")
    said.run("bridge, wrong key", key, *BRIDGE, told="consuming stops")
    said.run("tracker without Kafka", world.env | without_kafka(), *TRACKER, told="waits for Kafka")
    said.run("tracker, wrong settings", world.env | {"BRH_PARTITIONS": "0"}, *TRACKER, told="bad-settings")


def fail_at_work(world: World, said: Said) -> None:
    console = world.env | {"BRH_LOG_FORMAT": "console"}
    said.run("bridge that raises", world.env, *BRIDGE, told=RAISED, planted=True)
    said.run("bridge that raises, for people", console, *BRIDGE, told=RAISED, planted=True)
    again = payload_message(HOSTILE, "s", 1, 2, IN_BODY.encode())
    asyncio.run(publish_messages(world, [("small.s", again)]))
    said.run("bridge, for people", console, *BRIDGE, told="message rejected")
    until(lambda: world.queue(HEADERS)["messages"] == 0, ENDED_S, "the header is taken")
    said.run("tracker that raises", world.env, *TRACKER, told=RAISED, planted=True)


@pytest.fixture(scope="module")
def said(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Said:
    folder = tmp_path_factory.mktemp("said")
    env = {"BRH_LOG_FORMAT": "json", "BRH_API_OPERATE_TOKEN": TOKEN, "BRH_PROFILE": "development"}
    world, found = World(stack_env, folder / "world", env=env), Said(folder)
    world.start()
    try:
        play(world, found)
    finally:
        world.stop()
    return found


def of_people(name: str) -> bool:
    return name.endswith("for people")


def test_no_secret_and_nothing_of_a_message_is_told(said: Said, stack_env: dict[str, str]) -> None:
    secrets = {urlsplit(stack_env["BRH_AMQP_URL"]).password, *stack_env["BRH_BLOB_CONNECTION_STRING"].split(";")}
    keys = [each.removeprefix("AccountKey=") for each in secrets if each and each.startswith("AccountKey=")]
    canaries = [*CANARIES, *keys, str(urlsplit(stack_env["BRH_AMQP_URL"]).password)]
    told = {
        (name, canary): text[max(0, text.index(canary) - 300) :][:600]
        for name, text in {**said.processes, **said.others}.items()
        for canary in canaries
        if canary in text
    }
    assert told == {}


def test_every_line_of_every_process_is_an_object_with_its_origin(said: Said) -> None:
    for name, text in said.processes.items():
        if of_people(name):
            continue
        lines = text.splitlines()
        assert lines, name
        for line in lines:
            found: dict[str, Any] = json.loads(line)
            assert found.keys() >= MEMBERS - ({"instance"} if "settings" in name else set()), (name, line)
            assert found["process"] == name.partition(",")[0].partition(" ")[0].partition("-")[0], (name, line)


def test_lines_of_libraries_are_among_them(said: Said) -> None:
    loggers = {
        json.loads(line)["logger"].partition(".")[0]
        for name, text in said.processes.items()
        if not of_people(name)
        for line in text.splitlines()
    }
    assert loggers >= {"bridge", "streams", "faust", "mode", "aiokafka"}


def test_what_is_refused_is_told_with_what_it_says_it_is(said: Said) -> None:
    rejected = [
        found
        for line in said.processes["bridge-1"].splitlines()
        if (found := json.loads(line))["event"] == "message rejected"
    ]
    assert len(rejected) == REFUSED
    assert rejected[0]["transaction"] == printable(HOSTILE)
    assert (rejected[2]["series"], rejected[2]["ordinal"]) == ("s", 0)


def test_an_error_of_ours_is_told_with_its_transaction_and_where_it_was_raised(said: Said) -> None:
    for name in ("bridge that raises", "tracker that raises"):
        lines = [json.loads(line) for line in said.processes[name].splitlines()]
        told = [
            line for line in lines if RAISED in line.get("exception", "") and line["level"] in ("error", "critical")
        ]
        assert told, said.processes[name][-3_000:]
        assert any("raising.py" in line["exception"] for line in told)
    raised = [json.loads(line) for line in said.processes["bridge that raises"].splitlines()]
    assert next(line["event"] for line in raised if RAISED in line.get("exception", "")) == "bridge ends"


def test_for_people_nothing_but_printable_text_reaches_a_terminal_and_no_line_is_forged(said: Said) -> None:
    for name, text in said.processes.items():
        if of_people(name):
            assert text
            for line in text.split("\n"):
                assert line.isprintable(), (name, line)
                assert not (line.startswith("2026-01-01") and "forged" in line), (name, line)
    assert "forged" in said.processes["bridge, for people"]
