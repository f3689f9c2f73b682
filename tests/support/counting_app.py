"""A small Faust app that keeps each event in a table, on stock Faust or on ours, with one thing going wrong.

python -m tests.support.counting_app worker    with COUNTING, a `Config` as JSON, in the environment
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faust
import msgspec

from streams.hardened import HardenedApp, Limits, drop_ghosts
from tests.support.counting_faults import FAULTS
from tests.support.counting_stalls import STALLS
from tests.support.counting_starts import STARTS
from tests.support.counting_worker import Config, Status

config = msgspec.json.decode(os.environ["COUNTING"], type=Config)
folder = Path(config.folder)
STATUS_INTERVAL_S = 0.05

options: dict[str, Any] = {
    "broker": f"kafka://{config.bootstrap}",
    "autodiscover": False,
    "datadir": str(folder / "data"),
    "topic_partitions": config.partitions,
    "topic_allow_declare": False,
    "topic_disable_leader": True,
    "table_standby_replicas": 0,
    "web_bind": "127.0.0.1",
    "web_port": config.web_port,  # Faust 0.15.3 serves the web even where it is told not to
    "broker_commit_interval": 0.1,
    "broker_session_timeout": config.session_s,
    "broker_heartbeat_interval": min(1.0, config.session_s / 5),
    "consumer_group_instance_id": config.instance,
    "worker_redirect_stdouts": False,
}
limits = Limits(stall_s=config.stall_s)
app: faust.App = (
    HardenedApp(config.name, limits=limits, **options)
    if config.kind == "hardened"
    else faust.App(config.name, **options)
)
events = app.topic(
    f"{config.name}.events", key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes
)
rows = app.Table("rows", partitions=config.partitions, key_type=str)
fault = {**FAULTS, **STALLS, **STARTS}[config.mode](app, rows, folder)


@app.agent(events)
async def keep(stream: Any) -> None:
    async for event in fault.events(stream):
        number = int(event.value)
        await fault.before(event, number)
        if config.layout == "row a number":
            row = {"numbers": [number]}
            rows[f"{event.message.partition}/{number}"] = fault.row(number, row)
        else:
            key = f"{event.message.partition}/{event.key.decode()}"
            rows[key] = {"numbers": [*rows.get(key, {"numbers": []})["numbers"], number]}
        fault.after(event, number)


def owned_partitions() -> set[int]:
    return {tp.partition for tp in app.consumer.assignment() if tp.topic == f"{config.name}.events"}


def partition_of(key: str) -> int:
    return int(key.partition("/")[0])


if config.kind == "hardened":

    @rows.on_recover
    async def forget() -> None:
        mine = owned_partitions()
        drop_ghosts(rows, lambda key: partition_of(key) in mine)


@app.timer(STATUS_INTERVAL_S)
async def tell() -> None:
    status = Status(
        ready=not app.rebalancing and not app.in_recovery,
        partitions=sorted(owned_partitions()),
        row_partitions=sorted({partition_of(key) for key in rows}),
    )
    if status.ready and not set(status.row_partitions) <= set(status.partitions):
        fault.write("ghosts", status.row_partitions)
    new = folder / "status.new"
    new.write_bytes(msgspec.json.encode(status))
    new.replace(folder / "status.json")


if __name__ == "__main__":
    app.main()
