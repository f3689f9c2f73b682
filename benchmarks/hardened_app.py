"""A table that is written from records of events, on stock Faust or on ours, configured like a tracker.

`python -m benchmarks.hardened_app worker`. It tells when it is ready, and when it is held by a record that says so;
how far it comes is seen in the changelog.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import faust
import msgspec

from benchmarks.hardened import HELD, HOLD, READY, Plan
from streams.hardened import HardenedApp
from streams.settings import WorkerSettings
from streams.worker import raw_topic, worker_options

_POLL_S: Final = 0.005
plan = msgspec.json.decode(os.environ["PLAN"], type=Plan)
settings = WorkerSettings(**plan.settings)
options = worker_options(settings, plan.name, plan.bind, process="benchmark")
limits = options.pop("limits")
app: faust.App = HardenedApp(plan.name, limits=limits, **options) if plan.ours else faust.App(plan.name, **options)
events = raw_topic(app, f"{plan.name}.events", settings.partitions)
rows = app.Table("rows", partitions=settings.partitions, key_type=str)


def wait_to_go() -> None:
    """Until there is the file."""
    while not Path(plan.go).exists():
        time.sleep(_POLL_S)


@app.agent(events)
async def keep(stream: Any) -> None:
    """A row for each event of a record."""
    async for event in stream.events():
        if event.value == HOLD:
            print(HELD, flush=True)
            await asyncio.to_thread(wait_to_go)
            continue
        for key in msgspec.json.decode(event.value, type=list[str]):
            rows[key] = {"at": event.message.offset}


@app.task
async def ready() -> None:
    """The tables are recovered, and events flow."""
    print(READY, flush=True)


if __name__ == "__main__":
    app.main()
