"""Each producer in examples/ sends a result that completes with its bytes, however often it is interrupted."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pika
import pytest

from tests.examples.conftest import CHUNK_BYTES, Tools, environment
from tests.support.outside import assert_result, kafka_records
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(240)
KINDS = ("pika", "aio-pika", "node", "java", "shell")
BINDINGS = {"brh.headers": "header.#", "brh.payloads": "payload.#", "brh.payloads.small": "small.#"}


class FileChunks:
    """What a file has to become: its chunks in order."""

    def __init__(self, path: Path, content: bytes, chunk_bytes: int) -> None:
        path.write_bytes(content)
        self.path = path
        self._chunks = [content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes)]

    size = property(lambda self: sum(map(len, self._chunks)))
    total_count = property(lambda self: len(self._chunks))

    def digest(self) -> str:
        return hashlib.sha256(b"".join(self._chunks)).hexdigest()


def files(folder: Path, chunk_bytes: int, **sizes: int) -> dict[str, FileChunks]:
    """Files of random bytes, one for each series."""
    source = random.Random(7)
    return {name: FileChunks(folder / name, source.randbytes(size), chunk_bytes) for name, size in sizes.items()}


def command(tools: Tools, kind: str, txn: str, series: dict[str, FileChunks]) -> list[str]:
    return [*tools.producers[kind], txn, *(f"{name}={chunks.path}" for name, chunks in series.items())]


def run(world: World, folder: Path, arguments: list[str], **env: str) -> None:
    done = subprocess.run(
        arguments, cwd=folder, env=environment(world, **env), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def txn() -> str:
    return f"T-{uuid4().hex[:12]}"


@pytest.mark.parametrize("kind", KINDS)
async def test_files_become_a_result_with_their_bytes(
    world: World, tools: Tools, kind: str, txn: str, tmp_path: Path
) -> None:
    sizes = {"cashflows": 4 * CHUNK_BYTES + 17, "log.text": CHUNK_BYTES, "one": 1, "nothing": 0}
    series = files(tmp_path, CHUNK_BYTES, **sizes)
    run(world, tmp_path, command(tools, kind, txn, series), BRH_CHUNK_BYTES=str(CHUNK_BYTES))
    world.wait_state(txn, {"Completed"})
    await assert_result(world, txn, series)
    said = b"".join(await kafka_records(world, world.topics.events, txn))
    assert b"Rejected" not in said
    for name in BINDINGS:
        until(lambda name=name: world.queue(name).get("messages") == 0, 60, f"{name} is empty")


@pytest.mark.parametrize("kind", KINDS)
async def test_one_that_was_killed_goes_on_where_it_was(
    world: World, tools: Tools, kind: str, txn: str, tmp_path: Path
) -> None:
    count = 60 if kind == "shell" else 2_000
    series = files(tmp_path, 1_000, a=count * 1_000)
    arguments, journal = command(tools, kind, txn, series), tmp_path / f"{txn}.sent"
    env = {"BRH_CHUNK_BYTES": "1000"}

    def sent() -> list[str]:
        return journal.read_text().splitlines() if journal.exists() else []

    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(world, **env), start_new_session=True)
    until(lambda: len(sent()) > 20, 60, "twenty messages are confirmed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    before = sent()
    assert 20 < len(before) < count
    run(world, tmp_path, arguments, **env)
    assert sent()[: len(before)] == before, "what was confirmed is not sent again"
    assert sorted(set(sent())) == sorted(sent())
    assert len(sent()) == count + 1
    row = world.wait_state(txn, {"Completed"})
    await assert_result(world, txn, series)
    assert row["duplicates"] <= 8, "only what was on its way"


@contextmanager
def unbound(world: World) -> Iterator[None]:
    """While nothing of ours takes messages."""
    with pika.BlockingConnection(pika.URLParameters(world.amqp_url)) as connection:
        channel = connection.channel()
        for queue, key in BINDINGS.items():
            channel.queue_unbind(queue, "brh.in", key)
        try:
            yield
        finally:
            for queue, key in BINDINGS.items():
                channel.queue_bind(queue, "brh.in", key)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_no_queue_takes_is_sent_again(
    world: World, tools: Tools, kind: str, txn: str, tmp_path: Path
) -> None:
    series = files(tmp_path, CHUNK_BYTES, a=2 * CHUNK_BYTES + 5)
    arguments, said = command(tools, kind, txn, series), tmp_path / "said"
    env = environment(world, BRH_CHUNK_BYTES=str(CHUNK_BYTES))
    with said.open("w") as errors, unbound(world):
        process = subprocess.Popen(arguments, cwd=tmp_path, env=env, stderr=errors)
        until(lambda: "again: " in said.read_text(), 60, "it has noticed")
        assert not (tmp_path / f"{txn}.sent").exists() or "header" not in (tmp_path / f"{txn}.sent").read_text()
    assert process.wait(timeout=60) == 0, said.read_text()
    world.wait_state(txn, {"Completed"})
    await assert_result(world, txn, series)
