"""No bridge claims a moment before all that was in the queues has its fact, or is another bridge's to answer for."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from queue_world import SILENCE_S, World

BRIDGES_MAX = 3


def trouble(world: World) -> None:
    """Something that goes wrong, or right."""
    chance, bridges = world.chance, world.bridges
    bridge = chance.choice(bridges) if bridges else None
    links = world.links()

    def stick() -> None:
        world.stuck |= {*chance.sample([*world.queued_s], min(2, len(world.queued_s)))}

    happenings: list[tuple[int, Callable[[], object]]] = [
        (4, lambda: len(bridges) < BRIDGES_MAX and world.join()),
        (3, stick),
        (4, world.stuck.clear),
        (3, lambda: links and world.cut(chance.choice(links))),
        (2, lambda: bridge and bridge.links and world.end(bridge, chance.choice(bridge.links))),
        (2, lambda: bridge and world.kill(bridge)),
        (2, lambda: bridge and world.freeze(bridge, chance.randint(1, 2 * SILENCE_S))),
        (2, lambda: bridge and setattr(bridge, "deaf_until_s", world.now_s + chance.randint(1, 2 * SILENCE_S))),
        (5 if world.skews else 1, world.change_owner),
        (10 if world.skews else 0, lambda: world.set_clock(chance.choice([0, 0, 30, 300, -30, -300]))),
    ]
    weights, what = zip(*happenings, strict=True)
    chance.choices(what, weights)[0]()


def run(seed: int, for_s: int = 400) -> World:
    world = World(seed)
    chance = random.Random(-seed - 1)
    calm, load, steps = chance.uniform(0.94, 1), chance.choice([0.1, 1, 3]), chance.choice([60, 150])
    world.false_answers = chance.choice([0, 0.2])
    world.skews = chance.random() < 0.5
    world.join()
    for _ in range(for_s):
        if chance.random() > calm:
            trouble(world)
        while chance.random() < load / (1 + load):
            world.publish(chance.choice(["large", "small"]))
        world.tick(steps)
    return world


@pytest.mark.parametrize("seed", range(100))
def test_the_watermark_passes_nothing_that_has_no_fact_whatever_happens(seed: int) -> None:
    world = run(seed)
    assert world.now_s == 400
