"""A small Faust app on HardenedApp: keeps each event as a table row, and fails once as MODE says.

python tests/support/counting_app.py worker    with APP, BOOTSTRAP, FOLDER, MODE in the environment
"""

from __future__ import annotations

import os
from pathlib import Path

from streams.hardened import HardenedApp

FAIL_AT = 5
folder = Path(os.environ["FOLDER"])
app = HardenedApp(
    os.environ["APP"],
    broker=f"kafka://{os.environ['BOOTSTRAP']}",
    autodiscover=False,
    datadir=str(folder / "data" / "worker"),
    topic_partitions=1,
    topic_allow_declare=False,
    topic_disable_leader=True,
    table_standby_replicas=0,
    web_bind="127.0.0.1",
    web_port=int(os.environ["WEB_PORT"]),  # Faust 0.15.3 serves the web even where it is told not to
    broker_commit_interval=0.1,
    broker_session_timeout=6,
    broker_heartbeat_interval=1,
    consumer_group_instance_id=f"{os.environ['APP']}-0",
)
events = app.topic(f"{app.conf.id}.events", value_serializer="raw", key_serializer="raw", value_type=bytes)
rows = app.Table("rows", partitions=1, key_type=str)


def first_time(what: str) -> bool:
    marker = folder / what
    if marker.exists():
        return False
    marker.touch()
    return True


@app.agent(events)
async def keep(stream):
    async for value in stream:
        number = int(value)
        row = {"number": number}
        if number == FAIL_AT and os.environ["MODE"] == "raise" and first_time("raised"):
            raise RuntimeError("a bug in the agent")
        if number == FAIL_AT and os.environ["MODE"] == "refused row" and first_time("refused"):
            row["ballast"] = "x" * 10_000
        rows[str(number)] = row


if __name__ == "__main__":
    app.main()
