"""Many seeds in a row, in one process or several, and the ledger of what was run."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from tests.sim.plants import planted
from tests.sim.runs import Ran, run

LEDGER: Final = Path(__file__).with_name("ledger.jsonl")


@dataclass
class Limits:
    """When a campaign is over; it ends behind the seed that reaches one of them."""

    steps: int = 0
    hours: float = 0.0
    seeds: int = 1


@dataclass
class Campaign:
    """What was run, and what came of it."""

    first: int
    plants: tuple[str, ...] = ()
    seeds: int = 0
    steps: int = 0
    digest: int = 0
    took_s: float = 0.0
    worked_s: float = 0.0
    """Of processor time, of all processes together."""
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[Ran] = field(default_factory=list)

    def add(self, ran: Ran) -> None:
        """One more seed, in their order."""
        self.seeds += 1
        self.steps += ran.steps
        self.worked_s += ran.worked_s
        self.digest = (self.digest * 1_000_003 + ran.digest) & ((1 << 61) - 1)
        self.faults += ran.faults
        self.outcomes += ran.outcomes
        if ran.violation is not None:
            self.violations.append(ran)

    def row(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "seed": self.first,
            "seeds": self.seeds,
            "steps": self.steps,
            "digest": f"{self.digest:016x}",
            "seconds": round(self.took_s),
            "processor_seconds": round(self.worked_s),
            "outcomes": dict(self.outcomes.most_common()),
            "faults": dict(self.faults.most_common()),
            "violations": [{"seed": ran.seed, "what": ran.violation} for ran in self.violations],
        }


def carry_out(campaign: Campaign, limits: Limits, processes: int) -> Iterator[Ran]:
    """Run seeds until a limit is reached; with a planted bug, until it is found."""
    began_s = time.monotonic()
    for ran in _results(campaign, processes):
        campaign.add(ran)
        campaign.took_s = time.monotonic() - began_s
        yield ran
        if campaign.plants and campaign.violations:
            return
        if limits.steps or limits.hours:
            over = limits.steps and campaign.steps >= limits.steps
            if over or (limits.hours and campaign.took_s >= limits.hours * 3_600):
                return
        elif campaign.seeds >= limits.seeds:
            return


def _results(campaign: Campaign, processes: int) -> Iterator[Ran]:
    one = partial(_one, campaign.plants)
    if processes == 1:
        yield from map(one, count(campaign.first))
        return
    with get_context("fork").Pool(processes) as pool:
        # A few at a time, because the pool takes all that it is offered.
        for first in count(campaign.first, 8 * processes):
            yield from pool.imap(one, range(first, first + 8 * processes))


def _one(plants: tuple[str, ...], seed: int) -> Ran:
    with planted(*plants):
        return run(seed)


def note(campaign: Campaign) -> None:
    """Append to the ledger."""
    with LEDGER.open("a") as ledger:
        print(json.dumps(campaign.row()), file=ledger)


def _commit() -> str:
    """What was run: a commit, with a `+` where files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        cwd=LEDGER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"
