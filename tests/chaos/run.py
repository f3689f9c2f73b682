"""One run: start everything, let the faults of a seed happen under load, heal, and let the checker judge."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.faults import Faults
from tests.chaos.schedule import PATIENT, WILD, schedule
from tests.chaos.site import SETTLE_S, Site
from tests.chaos.soak import RETENTION, Slope, grown, held, sampled, unmeasured

DRAIN_S: Final = 240.0
"""How long the producer may take to have confirmed what it has begun."""
LISTENING_S: Final = 60.0
GIB: Final = 1 << 30
POLL_S: Final = 0.2


@dataclass(frozen=True)
class Wanted:
    """What kind of run."""

    seed: int
    minutes: float
    rate: float = 1.5
    """Transactions a second."""
    bytes_max: int = 20 * GIB
    """Of all bodies: they stay on the disk until the run is over."""
    huge_every: int = 400
    """Which transactions have a payload of 250 MB; 0: none."""
    small: bool = False
    """One process of each kind, instead of two bridges, three trackers and two deliveries."""
    plant: str = ""
    """A mistake that the processes are to have."""
    soak: bool = False
    """No process is ended, and what they hold is written down."""


@dataclass
class Ran:
    """What came of it."""

    faults: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=lambda: {"violations": []})
    held: dict[str, dict[str, Slope]] = field(default_factory=dict)
    """What processes held, of a run that looks at it."""
    problems: list[str] = field(default_factory=list)
    """What went wrong with the run itself."""

    @property
    def good(self) -> bool:
        """Everything happened as it should, and all laws hold."""
        return not self.problems and not self.report["violations"]


async def run(folder: Path, wanted: Wanted, say: Callable[[str], None]) -> Ran:
    """A whole run, in a new folder, which holds everything that is needed to look into it."""
    ran, began = Ran(), time.monotonic()

    def tell(text: str) -> None:
        line = f"{time.monotonic() - began:7.1f} {text}"
        with (folder / "run.log").open("a") as log:
            log.write(f"{time.time():.3f} {line}\n")
        say(line)

    counts = (1, 1, 1) if wanted.small else (2, 3, 2)
    processes = dict(zip(("bridges", "trackers", "deliveries"), counts, strict=True))
    async with Site(folder, **processes, plant=wanted.plant, env=RETENTION if wanted.soak else {}) as site:
        site.begin("check", site.checker_config())
        await site.wait(lambda: (folder / "listening").exists() or _ended(site, "check"), LISTENING_S, "it listens")
        await site.start()
        tell(f"everything runs, in {folder}")
        load = {"rate": wanted.rate, "bytes_max": wanted.bytes_max, "huge_every": wanted.huge_every}
        site.begin("produce", site.producer_config(wanted.seed, **load))
        faults = Faults(site, tell)
        try:
            async with sampled(site) if wanted.soak else nullcontext():
                await _let_happen(site, faults, wanted)
            tell("healing")
        finally:
            await faults.heal()
        if wanted.soak:
            ran.held = held(folder)
            names = [each.name for each in site.processes]
            ran.problems += [*unmeasured(folder, names, ran.held), *grown(ran.held)]
        tell("no more faults; waiting until all is quiet")
        ran.faults, ran.missed = dict(faults.happened), dict(faults.missed)
        await _settle(site, ran)
    return ran


async def _let_happen(site: Site, faults: Faults, wanted: Wanted) -> None:
    began = time.monotonic()
    style = PATIENT if wanted.soak else WILD
    for planned in [*schedule(wanted.seed, wanted.minutes, site.places, style), None]:
        due = began + (planned.at_s if planned else wanted.minutes * 60)
        while time.monotonic() < due:
            if _stops_early(site):
                return
            await asyncio.sleep(POLL_S)
        if planned:
            faults.begin(planned)


def _ended(site: Site, name: str) -> bool:
    return site.ended(name) is not None


def _stops_early(site: Site) -> bool:
    """Something is wrong already: what shows it must not be buried under more."""
    return (site.folder / "violations.jsonl").exists() or _ended(site, "check") or _ended(site, "produce")


async def _settle(site: Site, ran: Ran) -> None:
    site.ask_to_end("produce")
    try:
        await site.wait(lambda: _ended(site, "produce"), DRAIN_S, "the producer has confirmed everything")
    except AssertionError as error:
        ran.problems.append(str(error))
    if site.ended("produce"):
        ran.problems.append(f"the producer ended with {site.ended('produce')}: see produce.log")
    (site.folder / "finish").touch()
    try:
        await site.wait(lambda: _ended(site, "check"), SETTLE_S + 120, "the checker has judged")
    except AssertionError as error:
        ran.problems.append(str(error))
    report = site.folder / "report.json"
    if report.exists():
        ran.report = json.loads(report.read_text())
    if site.ended("check") not in (0, 1) or not report.exists():
        ran.problems.append(f"the checker ended with {site.ended('check')}: see check.log")
