"""One seed, one run: an installation, its producers, and what goes wrong; then peace, and the laws."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, TextIO

from tests.sim.asked import is_known, lost
from tests.sim.checks import Checks
from tests.sim.faults import Faults
from tests.sim.in_hand import in_hand
from tests.sim.installation import LONG, SHORT, Installation
from tests.sim.nights import DAY_S, Nights
from tests.sim.process import current, worlds
from tests.sim.rest import at_rest
from tests.sim.scaled import prepare
from tests.sim.workload import Workload
from tests.sim.world import Violation, World

PEACE_STEPS_MAX: Final = 400_000
"""Within which everything has to come to an end when nothing goes wrong any more."""
LOOK_STEPS: Final = 64
ANSWER_S: Final = 30.0
"""How often producers look whether something has to be sent again."""
DAYLIGHT_S: Final = 200.0
"""Between two nights of a long wait: enough for bridges to come round and be believed."""


@dataclass
class Ran:
    """What became of a seed."""

    seed: int
    steps: int = 0
    digest: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violation: str | None = None
    worked_s: float = 0.0
    """Of processor time."""


class Run:
    """Everything of one seed."""

    def __init__(self, world: World) -> None:
        self.world = world
        chance = world.chance
        world.haste = chance.choice((0.001, 0.01, 0.05))
        self._long = chance.random() < 0.15
        self.installation = Installation(
            world,
            bridges=chance.choice((1, 2)),
            trackers=chance.choice((1, 2, 3)),
            deliveries=chance.choice((1, 2)),
            static=chance.random() < 0.5,
            limits=LONG if self._long else SHORT,
            dedupe_s=chance.choice((14 * DAY_S, 14 * DAY_S, 14 * DAY_S, 300.0)),
        )
        self.installation.storage.keeps_staged = chance.random() < 0.3
        self.workload = Workload(
            world,
            self.installation.rabbit,
            self.installation.kafka,
            transactions=chance.choice((2, 6, 12)),
            spread_s=chance.choice((1.0, 60.0, 300.0)),
        )
        self.workload.lost = lambda name: lost(self.installation, name, missing=self.checks.results.topics_lost)
        self.workload.known = lambda name: is_known(self.installation, name)
        self.checks = Checks(self.installation, self.workload)
        self._nights = Nights(self.installation, self.checks)
        self.faults = Faults(world, self.installation, self.workload, self.checks, self._nights)

    def go(self) -> None:
        """Until everything has come to its end. Raises Violation."""
        world, checks = self.world, self.checks
        while self.faults.go_on() and world.step() and world.violation is None:
            pass
        self.faults.end()
        last_step = world.steps + PEACE_STEPS_MAX
        answers_s, sleeps_s = world.now_s + ANSWER_S, world.now_s + DAYLIGHT_S
        while world.violation is None and not self._at_rest():
            if world.steps > last_step:
                at_rest(checks, self.installation)
                what = (*checks.open(), *in_hand(self.installation))
                world.violate(f"I10: after {PEACE_STEPS_MAX} steps there is no end of {what}")
            for _ in range(LOOK_STEPS):
                world.step()
            if world.now_s > answers_s:
                self.workload.answer()
                answers_s = world.now_s + ANSWER_S
            if self._long and world.now_s > sleeps_s:
                self._nights.peaceful(DAY_S / 3)
                sleeps_s = world.now_s + DAYLIGHT_S
        if world.violation is None:
            at_rest(checks, self.installation)

    def _at_rest(self) -> bool:
        if not self.workload.done or self.checks.open() or self.checks.left_over():
            return False
        return not in_hand(self.installation)


def run(seed: int, trace: TextIO | None = None) -> Ran:
    """Run one seed. Never raises for what the product does."""
    prepare()
    began_s = time.process_time()
    world = World(seed, trace)
    worlds[:] = [world]
    current.clear()
    ran = Ran(seed)
    gc.disable()
    try:
        one = Run(world)
        one.go()
        ran.outcomes.update(_said(outcome) for outcome in one.checks.outcomes.values())
    except Violation as error:
        world.violation = world.violation or str(error)
    finally:
        gc.enable()
        asyncio._set_running_loop(None)
    ran.worked_s = time.process_time() - began_s
    world.note("ends with", world.violation)
    ran.steps, ran.digest, ran.faults, ran.violation = world.steps, world.digest, world.faults, world.violation
    return ran


def _said(outcome: object) -> str:
    kind, problem = outcome.outcome, outcome.problem
    return f"{kind} ({problem.code})" if problem else f"{kind} (partial)" if outcome.partial else kind
