"""Runs a process of the product with a patience of seconds for storage, where it is shipped with one of minutes.

python -m tests.support.hurried faust --quiet -A streams.delivery worker
"""

from __future__ import annotations

import runpy
import sys

from msgspec.structs import replace

from bridge import azure_blobs, azure_client
from bridge.azure_retry import Backoff
from streams.supervisor import Child, children
from tests.support.world import World

ANSWER_WITHIN_S = 1.0
ATTEMPTS = 2
"""Of one request."""


def start_hurried(world: World) -> None:
    """As `World.start`, with a delivery that is in a hurry."""
    world.provision()
    world.run([_hurried(child) for child in children(bridges=1, trackers=1, deliveries=1, env=world.env)])
    world.wait_ready()


def _hurried(child: Child) -> Child:
    if not child.name.startswith("delivery-"):
        return child
    python, dash_m, *rest = child.argv
    return replace(child, argv=(python, dash_m, "tests.support.hurried", *rest))


if __name__ == "__main__":
    for place, name, value in (
        (azure_client, "READ_TIMEOUT_S", ANSWER_WITHIN_S),
        (azure_blobs, "Backoff", lambda: Backoff(ATTEMPTS - 1)),
    ):
        setattr(place, name, value)
    sys.argv = sys.argv[1:]
    sys.path.insert(0, "")
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
