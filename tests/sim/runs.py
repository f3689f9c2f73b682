"""One seed, one run: an installation, its producers, and what goes wrong; then peace, and the laws."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, TextIO

from tests.sim.checks import Checks
from tests.sim.faults import Faults
from tests.sim.installation import Installation
from tests.sim.process import current, worlds
from tests.sim.rest import at_rest
from tests.sim.scaled import prepare
from tests.sim.workload import Workload
from tests.sim.world import Violation, World

PEACE_STEPS_MAX: Final = 400_000
"""Within which everything has to come to an end when nothing goes wrong any more."""
LOOK_STEPS: Final = 64


@dataclass
class Ran:
    """What became of a seed."""

    seed: int
    steps: int = 0
    digest: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violation: str | None = None


def run(seed: int, trace: TextIO | None = None) -> Ran:
    """Run one seed. Never raises for what the product does."""
    prepare()
    world = World(seed, trace)
    worlds[:] = [world]
    current.clear()
    ran = Ran(seed)
    gc.disable()
    try:
        _run(world, ran)
        ran.violation = world.violation
    except Violation as error:
        ran.violation = world.violation or str(error)
    finally:
        gc.enable()
        asyncio._set_running_loop(None)
    world.note("ends with", ran.violation)
    ran.steps, ran.digest, ran.faults = world.steps, world.digest, world.faults
    return ran


def _run(world: World, ran: Ran) -> None:
    chance = world.chance
    world.haste = chance.choice((0.001, 0.01, 0.05))
    installation = Installation(
        world,
        bridges=chance.choice((1, 2)),
        trackers=chance.choice((1, 2, 3)),
        deliveries=chance.choice((1, 2)),
        static=chance.random() < 0.5,
    )
    workload = Workload(
        world,
        installation.rabbit,
        installation.kafka,
        transactions=chance.choice((2, 4, 8)),
        spread_s=chance.choice((1.0, 60.0, 300.0)),
    )
    checks = Checks(installation, workload)
    faults = Faults(world, installation, workload)
    while faults.go_on() and world.step() and world.violation is None:
        pass
    faults.end()
    peace = world.steps + PEACE_STEPS_MAX
    while not (workload.done and not checks.open() and _idle(installation) and not checks.left_over()):
        if world.steps > peace:
            at_rest(checks)
            world.violate(f"I10: {checks.open()} have no end after {PEACE_STEPS_MAX} steps")
        for _ in range(LOOK_STEPS):
            world.step()
        if world.violation is not None:
            return
    at_rest(checks)
    ran.outcomes.update(outcome.outcome for outcome in checks.outcomes.values())


def _idle(installation: Installation) -> bool:
    """Nothing is in a queue, or in hand."""
    queues = installation.rabbit.queues.values()
    return all(not q.ready and not any(c.unacked for c in q.channels) for q in queues)
