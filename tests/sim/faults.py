"""What goes wrong in a world: each seed has some kinds of faults, at rates of its own, and then they end.

A swarm: faults that are always all on hide each other, so every seed leaves most of them out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

from tests.sim.installation import Installation
from tests.sim.workload import Workload
from tests.sim.world import World


class Faults:
    """Those of one run."""

    def __init__(self, world: World, installation: Installation, workload: Workload) -> None:
        self.world = world
        self.installation = installation
        self.workload = workload
        chance = world.chance
        self._steps_max = chance.choice((2_000, 6_000, 12_000))
        self._every = chance.choice((100, 400, 1_500))
        """Steps between two events, on average."""
        self._next = 0
        self.kinds: list[Callable[[], None]] = [kind for kind in self.all_kinds() if chance.random() < 0.4]
        self._draw_next()

    def all_kinds(self) -> list[Callable[[], None]]:
        """Events; what has a rate of its own is set once for a run."""
        return [self._kill_bridge, self._kill_tracker, self._kill_delivery]

    def go_on(self) -> bool:
        """Do what is due before a step; False when the time of faults is over."""
        steps = self.world.steps
        if steps >= self._next and self.kinds:
            kind = self.kinds[int(self.world.chance.random() * len(self.kinds))]
            kind()
            self._draw_next()
        return steps < self._steps_max or not self.workload.done

    def end(self) -> None:
        """Nothing goes wrong any more."""
        self.world.note("peace")

    def _draw_next(self) -> None:
        self._next = self.world.steps + 1 + int(-log(1.0 - self.world.chance.random()) * self._every)

    # Processes

    def _kill_bridge(self) -> None:
        self._kill("bridge")

    def _kill_tracker(self) -> None:
        self._kill("tracker")

    def _kill_delivery(self) -> None:
        self._kill("delivery")

    def _kill(self, kind: str) -> None:
        running = self.installation.running(kind)
        if running:
            self.world.fault(f"{kind} killed")
            running[int(self.world.chance.random() * len(running))].end("killed")
