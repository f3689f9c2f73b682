"""What processes hold while they work for half an hour: memory, descriptors, tasks, and what tables leave in Kafka.

Processes are not ended in such a run, because what grows shows in those that live. Every sample is a line of
`samples.jsonl`; the report has for each process how much of each there was after it had warmed up, and how that grew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final, NamedTuple
from urllib.request import urlopen

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.supervisor import Child
from tests.chaos.site import Site

SAMPLE_S: Final = 5.0
WARM_S: Final = 300.0
"""Of the life of a process, which do not count."""
SAMPLES_MIN: Final = 10
GROWTH_MAX: Final = 0.2
"""Of what there was, in an hour: more is a problem."""
GROWTH_SEEN: Final[Mapping[str, float]] = {
    "rss_mib": 16.0,
    "mib": 16.0,
    "descriptors": 10.0,
    "threads": 4.0,
    "tasks": 10.0,
}
"""In an hour: what grows by less is as good as flat, whatever its share is of the little that there was."""
EAGER: Final = {
    "segment.ms": "20000",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "1000",
}
"""Of changelogs, so that half an hour shows what months would: compaction as soon as the broker comes round."""
RETENTION: Final = {"BRH_DEDUPE_RETENTION_S": "60"}
"""How long closed transactions are remembered, for the same reason."""
MIB: Final = 1 << 20
BINDS: Final = {"bridge": "BRH_BRIDGE_BIND", "tracker": "BRH_API_BIND", "delivery": "BRH_DELIVERY_BIND"}


class Slope(NamedTuple):
    """How something went on."""

    first: float
    last: float
    """Of the line that fits best."""
    per_hour: float

    @property
    def share_per_hour(self) -> float:
        """Of what there was at first."""
        return self.per_hour / self.first if self.first else 0.0


@asynccontextmanager
async def sampled(site: Site) -> AsyncIterator[None]:
    """Write down every few seconds what the processes hold, for as long as the context is open."""
    await _compact_eagerly(site)
    task = asyncio.create_task(_sample(site))
    try:
        yield
    finally:
        task.cancel()


def held(folder: Path) -> dict[str, dict[str, Slope]]:
    """By process and what it holds; `changelogs` has the bytes in Kafka. Lives that were too short are left out."""
    lives: dict[tuple[str, int], list[dict[str, float]]] = {}
    for line in (folder / "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        lives.setdefault((sample.pop("name"), sample.pop("pid")), []).append(sample)
    found: dict[str, dict[str, Slope]] = {}
    for (name, _), samples in lives.items():
        warm = [each for each in samples if each["at_s"] >= samples[0]["at_s"] + WARM_S]
        if len(warm) >= SAMPLES_MIN:
            found[name] = {
                what: slope((each["at_s"], each[what]) for each in warm) for what in warm[0] if what != "at_s"
            }
    return found


def slope(points: Iterable[tuple[float, float]]) -> Slope:
    """The line through (seconds, value) that fits best."""
    at_s, values = zip(*points, strict=True)
    line = linear_regression(at_s, values)
    return Slope(line.intercept + line.slope * at_s[0], line.intercept + line.slope * at_s[-1], line.slope * 3600)


def as_text(found: Mapping[str, Mapping[str, Slope]]) -> str:
    """The report as lines."""
    return "\n".join(
        f"{name:12} {what:12} {each.first:10.1f} -> {each.last:10.1f}  {each.per_hour:+9.1f} an hour "
        f"({each.share_per_hour:+.1%})"
        for name, of in sorted(found.items())
        for what, each in of.items()
    )


async def _sample(site: Site) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with (site.folder / "samples.jsonl").open("a") as file:
        while True:
            for sample in await asyncio.to_thread(_now, site):
                file.write(json.dumps({"at_s": round(loop.time() - began, 1), **sample}) + "\n")
            file.flush()
            await asyncio.sleep(SAMPLE_S)


def _now(site: Site) -> list[dict[str, Any]]:
    samples = [{"name": "changelogs", "pid": 0, "mib": _changelog_bytes(site.folder) / MIB}]
    for child in site.processes:
        try:
            process = psutil.Process(site.world.pid(child.name) or -1)
            with process.oneshot():
                sample = {
                    "name": child.name,
                    "pid": process.pid,
                    "rss_mib": process.memory_info().rss / MIB,
                    "descriptors": process.num_fds(),
                    "threads": process.num_threads(),
                }
            samples.append({**sample, "tasks": _tasks(child)})
        except (psutil.Error, OSError, ValueError):
            continue  # it is being started, or stands still
    return samples


def _tasks(child: Child) -> int:
    """As the process tells it. Raises OSError, ValueError."""
    bind = child.env[BINDS[child.name.partition("-")[0]]]
    with urlopen(f"http://{bind}/metrics", timeout=SAMPLE_S) as answer:
        told = answer.read().decode()
    (line,) = (line for line in told.splitlines() if line.startswith("brh_tasks "))
    return int(float(line.split()[1]))


def _changelog_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "kafka").rglob("*-changelog-*/*.log") if file.exists())


async def _compact_eagerly(site: Site) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=site.kafka.env["BRH_KAFKA_BOOTSTRAP"])
    await admin.start()
    try:
        topics = [name for name in await admin.list_topics() if name.endswith("-changelog")]
        wanted = {"cleanup.policy": "compact", **EAGER}
        (answer,) = await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in topics]
        )
        assert {error[0] for error in answer.resources} == {0}, answer
    finally:
        await admin.close()


def grown(found: Mapping[str, Mapping[str, Slope]]) -> list[str]:
    """What grew by more than `GROWTH_MAX`."""
    return [
        f"{name}: {what} grew by {each.share_per_hour:.1%} an hour, from {each.first:.1f}"
        for name, of in sorted(found.items())
        for what, each in of.items()
        if each.share_per_hour > GROWTH_MAX and each.per_hour > GROWTH_SEEN[what]
    ]


def unmeasured(folder: Path, names: Iterable[str], found: Mapping[str, object]) -> list[str]:
    """What says nothing about growth: processes that were not seen for long enough, or in more than one life."""
    pids: dict[str, set[int]] = {}
    for line in (folder / "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        pids.setdefault(sample["name"], set()).add(sample["pid"])
    wanted = ("changelogs", *names)
    short = [f"{name}: it was not seen for long enough to know how it grew" for name in wanted if name not in found]
    return short + [f"{name}: it ended, and was started again" for name in wanted if len(pids.get(name, ())) > 1]
