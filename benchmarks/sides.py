"""One measurement each: an installation of its own, a queue filled beforehand, one process, and what it took."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.request import urlopen

from benchmarks.installation import DONE_S, fill, installation, until_staged
from benchmarks.measured import Machine, Measured, Used
from benchmarks.told import BEGINS, TOOK
from tests.support.world import World

Figures = dict[str, float]
Side = Callable[[], Figures]
"""One line of a table."""

BRIDGE: Final = ("bridge",)
PEER: Final = ("benchmarks.aio_pika_bridge",)
READY: Final = "begins to consume"
_GIB: Final = 1 << 30


@contextmanager
def world_of(machine: Machine, changes: Mapping[str, str] | None = None) -> Iterator[World]:
    """An installation of its own; `changes` are settings for its processes only."""
    with TemporaryDirectory(prefix="brh-bench-") as folder:
        world = installation(dict(machine.env), Path(folder))
        world.env.update(changes or {})
        try:
            yield world
        finally:
            world.stop()
            shutil.rmtree(folder, ignore_errors=True)


def bridged(
    machine: Machine,
    module: Sequence[str],
    size: int,
    ordinals: Sequence[int],
    *,
    producers: int = 1,
    total_count: int | None = None,
    changes: Mapping[str, str] | None = None,
) -> Figures:
    """Fill a queue, start a bridge, and see how long it takes until Kafka has the last fact.

    `total_count`: of the series, where it is more than these payloads.
    """
    count = len(ordinals)
    with world_of(machine, changes) as world:
        asyncio.run(fill(world, size, ordinals, total_count or count, producers=producers))
        machine.wait_quiet()
        with Measured(module, world.env, ready=READY, log=world.log, beside=machine.pids) as process:
            progress = asyncio.run(until_staged(world, count))
            used = process.used()
            requests = _put_blocks(world) if module == BRIDGE else None
    figures = _figures(count, size, progress.last_s - process.began, used)
    return figures if requests is None else {**figures, "requests_per_payload": requests / count}


def _put_blocks(world: World) -> float:
    """How often the bridge has asked for it, what was repeated included."""
    with urlopen(f"http://{world.env['BRH_BRIDGE_BIND']}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    asked = [line for line in lines if line.startswith('brh_storage_requests_total{operation="put-block"')]
    return sum(float(line.rpartition(" ")[2]) for line in asked)


def alone(
    machine: Machine,
    module: Sequence[str],
    size: int,
    count: int,
    *,
    queued: bool = True,
    producers: int = 1,
    changes: Mapping[str, str] | None = None,
) -> Figures:
    """The same of a module that does only a part of the way, and tells how long that took; `queued`: out of a queue."""
    with world_of(machine, changes) as world:
        if queued:
            asyncio.run(fill(world, size, range(1, count + 1), count, producers=producers))
        machine.wait_quiet()
        with Measured(module, world.env, ready=BEGINS, log=world.log, beside=machine.pids) as process:
            seconds = float(process.wait_for(TOOK, DONE_S))
            used = process.used()
    return _figures(count, size, seconds, used)


def _figures(count: int, size: int, seconds: float, used: Used) -> Figures:
    together = sum(used.cpu_s.values())
    found = {
        "seconds": seconds,
        "mb_per_s": size * count / 1e6 / seconds,
        "payloads_per_s": count / seconds,
        "peak_rss_mib": used.peak_mib,
        "cores": together / seconds,
    }
    for name, cpu_s in {**used.cpu_s, "together": together}.items():
        found[f"{name}_cpu_s_per_gib"] = cpu_s / (size * count / _GIB)
        found[f"{name}_cpu_us_per_payload"] = cpu_s / count * 1e6
    return found
