"""What an installation still has in hand; when there is nothing, and nothing comes, it must have let go of it all."""

from __future__ import annotations

from tests.sim.bridge import SimBridge
from tests.sim.delivery import Delivery
from tests.sim.installation import Installation
from tests.sim.tracker import Tracker

OPEN = ("AwaitingResults", "SendingCompletion")


def in_hand(installation: Installation) -> list[str]:
    """In words; empty when everybody is idle."""
    found = [f"{q.name}: {len(q.ready)} wait" for q in installation.rabbit.queues.values() if q.ready]
    for channel in installation.rabbit.channels:
        if channel.unacked:
            found.append(f"{channel.queue.name}: {len(channel.unacked)} are not settled")
    for process in installation.processes.values():
        if not process.alive:
            continue
        if isinstance(process, SimBridge):
            if process.busy:
                found.append(f"{process.name} is busy and holds {process.held_bytes} bytes")
        elif isinstance(process, Tracker | Delivery) and process.behind:
            found.append(f"{process.name} has not read everything")
        if isinstance(process, Tracker):
            # Also one that was forgotten and opened again by a late duplicate: its outcome closes it again.
            found += [
                f"{process.name} shows {name} open" for name, row in process.shown.items() if row["state"] in OPEN
            ]
    owned = {
        partition
        for process in installation.running("tracker")
        if isinstance(process, Tracker) and process.flowing
        for partition in process.assigned
    }
    if len(owned) < len(installation.kafka.events):
        found.append(f"only partitions {sorted(owned)} are tracked")
    return found
