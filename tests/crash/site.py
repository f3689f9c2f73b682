"""One installation that outlives many crashes: real processes, each kind with a crash folder of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError

from msgspec.structs import replace

from bridge.crash_points import FOLDER
from streams.supervisor import Child, children
from tests.crash.keeper import Keeper, Slot
from tests.crash.outside import Outside, until
from tests.crash.plans import Plans
from tests.support.world import World, free_port

KINDS: Final = ("bridge", "tracker", "delivery")
READY: Final = {"bridge": "bridge is consuming", "tracker": "Worker ready", "delivery": "Worker ready"}
"""What a process prints when it has come up."""
READY_S: Final = 90.0
BINDS: Final = {"bridge": "BRH_BRIDGE_BIND", "tracker": "BRH_API_BIND", "delivery": "BRH_DELIVERY_BIND"}

HASTY_TYPES: Final = """
[default]
header = "PT2S"
idle = "PT1S"
awaiting = "PT3S"
"""
LANE: Final = re.compile(r"brh bridge .* \d+")
"""What the broker calls a connection that consumes."""
LIBRARY: Final = "faketime/libfaketimeMT.so.1"


class SiteKind(NamedTuple):
    """Settings of an installation, and of some of its processes."""

    env: dict[str, str]
    types: str = ""
    aged: bool = False
    """The deliveries live 16 days later."""


SITES: Final = {
    "plain": SiteKind({}),
    "hasty": SiteKind(
        {"BRH_BRIDGE_SILENCE_S": "4", "BRH_WATERMARK_INTERVAL_S": "0.2", "BRH_DEDUPE_RETENTION_S": "2"}, HASTY_TYPES
    ),
    "sweeping": SiteKind({"BRH_SWEEP_INTERVAL_S": "0.5", "BRH_SWEEP_UNTOLD_S": "2"}),
    "aged": SiteKind({"BRH_SWEEP_INTERVAL_S": "0.5", "BRH_RESULT_RETENTION_S": str(15 * 86_400)}, aged=True),
}
COMMON: Final = {"BRH_TICK_INTERVAL_S": "0.25", "BRH_REDRIVE_INTERVAL_S": "2"}


class Site:
    """An async context manager: entered, everything runs and is listened to."""

    def __init__(self, stack_env: dict[str, str], folder: Path, kind: str) -> None:
        self.kind = kind
        made = SITES[kind]
        self.world = World(stack_env, folder, env={**COMMON, **made.env})
        if made.types:
            (folder / "types.toml").write_text(made.types)
            self.world.env["BRH_TYPES_FILE"] = str(folder / "types.toml")
        self._client_url = self.world.amqp_url
        # A frozen bridge is noticed by the broker within three heartbeats.
        self.world.env["BRH_AMQP_URL"] += "?heartbeat=1"
        self.folder = folder
        self.plans = {each: Plans(folder / "crash" / each) for each in KINDS}
        self.keeper = Keeper(folder)
        self.outside = Outside(self.world, self._client_url)
        self._api = self.world.api
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Site:
        await asyncio.to_thread(self.world.provision)
        self._exits.push_async_callback(asyncio.to_thread, self.world.stop)
        await self._exits.enter_async_context(self.outside)
        self.blobs = await self._exits.enter_async_context(self.world.blobs())
        self._exits.push_async_callback(self.keeper.close)
        for child in children(1, 1, 1, self.world.env):
            self.keeper.start(self._prepared(child))
        for kind in KINDS:
            await self.ready(kind)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    async def ready(self, kind: str) -> int:
        """Wait until the process that runs now has come up; its id."""
        name, sign = f"{kind}-1", READY[kind].encode()

        def probe() -> int | None:
            pid = self.keeper.pid(name)
            return pid if pid and sign in self.keeper.printed(name) else None

        return await until(probe, READY_S, f"{name} is ready; see {self.keeper.log(name)}")

    def replace(self, kind: str) -> Slot:
        """Start another process in the place of the one that is frozen, as on another machine: at another address."""
        env = {}
        if kind in BINDS:
            env[BINDS[kind]] = f"127.0.0.1:{free_port()}"
        if kind == "tracker":
            self._api = f"http://{env[BINDS[kind]]}"
        return self.keeper.set_aside(f"{kind}-1", env)

    def signal(self, kind: str, number: signal.Signals) -> None:
        """Send a signal to the process that runs now."""
        if (pid := self.keeper.pid(f"{kind}-1")) is not None:
            os.kill(pid, number)

    def cut_lanes(self) -> None:
        """Have the broker close every connection that the bridge consumes on."""
        virtual_host = self.world.virtual_host
        for each in virtual_host.ask("GET", f"/api/vhosts/{virtual_host.name}/connections"):
            if LANE.fullmatch(each.get("client_properties", {}).get("connection_name", "")):
                with suppress(HTTPError):  # closed a moment ago
                    virtual_host.close_connection(each["name"])

    async def row(self, transaction: str) -> dict[str, Any] | None:
        """What the API says of a transaction."""
        self.world.api = self._api
        return await asyncio.to_thread(self.world.transaction, transaction)

    @property
    def api(self) -> str:
        """Of the tracker that runs now."""
        return self._api

    def _prepared(self, child: Child) -> Child:
        kind = child.name.rpartition("-")[0]
        env = {**child.env, FOLDER: str(self.plans[kind].folder)}
        if kind == "delivery" and SITES[self.kind].aged:
            library = next(Path("/usr/lib").glob(f"*/{LIBRARY}"))
            env |= {"LD_PRELOAD": str(library), "FAKETIME": "+16d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return replace(child, env=env)
