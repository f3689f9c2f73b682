"""The consumers in examples/ act once on each outcome, and read a result as bytes, frames, Parquet and SQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
import pytest

from streams.cli.producer import send
from tests.examples.conftest import Tools, environment
from tests.support.outside import Chunks, listening, publish
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(240)
ROWS = 20_000
CURRENCIES = ("CHF", "EUR", "USD")


class Text:
    """A CSV file, cut where no line ends."""

    def __init__(self, content: bytes, chunk_bytes: int) -> None:
        self.content = content
        self._chunk_bytes = chunk_bytes

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def total_count(self) -> int:
        return -(-self.size // self._chunk_bytes)

    def chunk(self, ordinal: int) -> bytes:
        return self.content[(ordinal - 1) * self._chunk_bytes :][: self._chunk_bytes]


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, int]]:
    return [(CURRENCIES[number % 3], number) for number in range(ROWS)]


@pytest.fixture(scope="module")
def content(lines: list[tuple[str, int]]) -> bytes:
    return ("currency,amount\n" + "".join(f"{currency},{amount}\n" for currency, amount in lines)).encode()


@pytest.fixture
async def result(world: World, content: bytes) -> str:
    """A transaction whose series `cashflows` is CSV in two parts: that takes more than 4,096 payloads."""
    txn = f"T-{uuid4().hex[:12]}"
    await send(world.amqp_url, txn, {"cashflows": Text(content, 41)}, shuffle=1)
    world.wait_state(txn, {"Completed"})
    async with world.blobs() as blobs:
        outcome = await blobs.read(f"{txn}/_outcome.json")
    assert outcome is not None
    assert len(json.loads(outcome.body)["series"][0]["parts"]) > 1
    return txn


def output(world: World, arguments: list[str]) -> bytes:
    done = subprocess.run(arguments, env=environment(world), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


async def test_a_series_is_read_as_bytes_frames_parquet_and_sql(
    world: World, tools: Tools, result: str, content: bytes, lines: list[tuple[str, int]], tmp_path: Path
) -> None:
    arguments = [result, "cashflows"]
    assert output(world, [*tools.reader("series_stream.py"), *arguments]) == content
    total = sum(amount for _, amount in lines)
    assert output(world, [*tools.reader("read_pandas.py"), *arguments, "amount"]) == f"{ROWS} {total}\n".encode()
    query = "SELECT currency, sum(amount) FROM series GROUP BY currency ORDER BY currency"
    sums = {name: sum(amount for currency, amount in lines if currency == name) for name in CURRENCIES}
    found = output(world, [*tools.reader("read_duckdb.py"), *arguments, query]).decode()
    assert found == "".join(f"{name} {total}\n" for name, total in sums.items())
    parquet = tmp_path / "cashflows.parquet"
    output(world, [*tools.reader("read_pyarrow.py"), *arguments, str(parquet)])
    count = "import sys, pyarrow.parquet as p; t = p.read_table(sys.argv[1]); print(t.num_rows, t.column_names)"
    assert output(world, [str(tools.python), "-c", count, str(parquet)]) == f"{ROWS} ['currency', 'amount']\n".encode()


async def test_a_part_that_was_changed_is_an_error(world: World, tools: Tools, result: str) -> None:
    async with world.blobs() as blobs:
        name = f"{result}/cashflows/part-00000"
        there = await blobs.properties(name)
        assert there is not None
        await blobs.delete(name, there.etag)
        await blobs.write_once(name, b"x" * 10, content_type="text/csv", metadata={})
    done = subprocess.run(
        [*tools.reader("series_stream.py"), result, "cashflows"],
        env=environment(world),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert b"x" * 10 not in done.stdout


# --- notifications


@contextmanager
def consumer(world: World, tools: Tools, folder: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = [*tools.reader("consume_notifications.py"), str(folder / "seen.db")]
    with (folder / "said").open("a") as said:
        process = subprocess.Popen(arguments, env=environment(world), stdout=said, text=True)
        try:
            yield process
        finally:
            os.kill(process.pid, signal.SIGKILL)  # at whatever it is doing
            process.wait(timeout=10)


def said(folder: Path, txn: str) -> list[str]:
    return [line for line in (folder / "said").read_text().splitlines() if line.startswith(txn)]


def again(world: World, message: Any) -> None:
    """One more copy of a notification."""
    with pika.BlockingConnection(pika.URLParameters(world.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(content_type=message.content_type, message_id=message.message_id)
        channel.basic_publish("brh.out", message.routing_key, message.body, properties, mandatory=True)


async def test_each_outcome_is_acted_upon_once_whatever_comes_how_often(
    world: World, tools: Tools, tmp_path: Path
) -> None:
    one, other = f"T-{uuid4().hex[:12]}", f"T-{uuid4().hex[:12]}"
    async with listening(world) as heard:
        with consumer(world, tools, tmp_path):
            await publish(world, one, {"a": Chunks(one, [10])})
            (message,) = await heard.wait(one)
            until(lambda: said(tmp_path, one), 30, "the first copy is acted upon")
            again(world, message)
            again(world, message)
        # Copies that come while nobody listens are in the queue; the next consumer takes them all.
        again(world, message)
        with consumer(world, tools, tmp_path):
            await publish(world, other, {"a": Chunks(other, [10])})
            until(lambda: said(tmp_path, other), 30, "what comes behind all copies is acted upon")
    assert said(tmp_path, one) == [f"{one} Completed -"]
    assert said(tmp_path, other) == [f"{other} Completed -"]
    assert json.loads(message.body)["data"]["transactionId"] == one
