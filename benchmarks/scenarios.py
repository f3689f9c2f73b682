"""What is measured. Each function makes one round; everything that is compared runs in the same round."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import null_sink
from benchmarks.installation import fill, installation, until_staged
from benchmarks.measured import Measured
from tests.support.world import World, free_port

Figures = dict[str, float]
LARGE = 250_000_000
BRIDGE = ("bridge",)
PEER = ("benchmarks.aio_pika_bridge",)
READY = "begins to consume"


@contextmanager
def world_of(stack_env: Mapping[str, str], **changes: str) -> Iterator[World]:
    """An installation of its own; `changes` are settings for its processes only."""
    with TemporaryDirectory(prefix="brh-bench-") as folder:
        world = installation(dict(stack_env), Path(folder))
        world.env.update(changes)
        try:
            yield world
        finally:
            world.stop()
            shutil.rmtree(folder, ignore_errors=True)


def bridged(
    stack_env: Mapping[str, str],
    module: Sequence[str],
    size: int,
    ordinals: Sequence[int],
    *,
    producers: int = 1,
    **changes: str,
) -> Figures:
    """Fill a queue, start a bridge, and see how long it takes until Kafka has the last fact."""
    count = len(ordinals)
    with world_of(stack_env, **changes) as world:
        asyncio.run(fill(world, size, ordinals, count, producers=producers))
        with Measured(module, world.env, ready=READY, log=world.log) as process:
            progress = asyncio.run(until_staged(world, count))
            used = process.used()
    seconds = progress.last_s - process.began
    return {
        "seconds": seconds,
        "mb_per_s": size * count / 1e6 / seconds,
        "payloads_per_s": count / seconds,
        "cpu_s_per_gib": used.cpu_s / (size * count / (1 << 30)),
        "cpu_us_per_payload": used.cpu_s / count * 1e6,
        "peak_rss_mib": used.peak_mib,
        "requests_per_payload": progress.blocks / count,
    }


def raw(stack_env: Mapping[str, str], count: int, size: int, at_once: int) -> Figures:
    """The same blocks by plain HTTP."""
    with world_of(stack_env) as world:
        seconds = _printed(world, ["benchmarks.raw_put_block", str(count), str(size), str(at_once)])
    return {"seconds": seconds, "mb_per_s": size * count / 1e6 / seconds}


def azurite(stack_env: Mapping[str, str]) -> dict[str, Figures]:
    """8 payloads of 250 MB: ceiling, bridge, peer; and 8 of 8 MB for the memory."""
    eight = range(1, 9)
    return {
        "raw Put Block": raw(stack_env, 8, LARGE, 4),
        "bridge": bridged(stack_env, BRIDGE, LARGE, eight),
        "aio-pika and bytes": bridged(stack_env, PEER, LARGE, eight),
        "bridge, 8 MB": bridged(stack_env, BRIDGE, 8_000_000, eight),
    }


def sink(stack_env: Mapping[str, str]) -> dict[str, Figures]:
    """16 payloads of 250 MB into a service that keeps nothing."""
    with _null_sink() as address:
        return {
            name: bridged(stack_env, module, LARGE, range(1, 17), BRH_BLOB_CONNECTION_STRING=address)
            for name, module in (("bridge", BRIDGE), ("aio-pika and bytes", PEER))
        }


def small(stack_env: Mapping[str, str], count: int = 50_000, size: int = 1_024) -> dict[str, Figures]:
    """Tiny payloads of four producers, in order and shuffled; and what only takes them from the queue."""
    ordered = list(range(1, count + 1))
    shuffled = random.Random(1).sample(ordered, count)
    found = {
        "bridge, in order": bridged(stack_env, BRIDGE, size, ordered, producers=4),
        "bridge, shuffled": bridged(stack_env, BRIDGE, size, shuffled, producers=4),
    }
    for name, module in (("aio-pika, no sink", "aio_pika_bridge"), ("lane, no sink", "lane_drain")):
        with world_of(stack_env) as world:
            asyncio.run(fill(world, size, ordered, count, producers=4))
            seconds = _printed(world, [f"benchmarks.{module}", "--drain", str(count)])
            found[name] = {"seconds": seconds, "payloads_per_s": count / seconds}
    return found


def sweep(stack_env: Mapping[str, str]) -> dict[str, Figures]:
    """From 64 KiB to 250 MB."""
    sizes = {"64 KiB": 64 << 10, "1 MiB": 1 << 20, "8 MiB": 8 << 20, "32 MiB": 32 << 20, "100 MiB": 100 << 20}
    return {
        name: bridged(stack_env, BRIDGE, size, range(1, max(4, min(2_000, (512 << 20) // size)) + 1))
        for name, size in {**sizes, "250 MB": LARGE}.items()
    }


def _printed(world: World, module: Sequence[str]) -> float:
    """The number that a module prints."""
    done = subprocess.run(
        [sys.executable, "-m", *module], env=world.env | {"PATH": ""}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


@contextmanager
def _null_sink() -> Iterator[str]:
    """A connection string for it."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.null_sink", str(port)])
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((null_sink.HOST, port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
        account = f"http://{null_sink.HOST}:{port}/sink"
        yield f"DefaultEndpointsProtocol=http;AccountName=sink;AccountKey=c2luaw==;BlobEndpoint={account};"
    finally:
        process.terminate()
        process.wait()
