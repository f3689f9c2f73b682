"""An installation under test: its own stack, its processes behind wires of their own, the producer and the checker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from streams.stack import install
from streams.stack import state as state_file
from streams.stack.azurite import Azurite
from streams.stack.deadline import Deadline
from streams.stack.rabbitmq import RabbitMQ
from streams.supervisor import Child, children
from tests.chaos.listen import REPLIES
from tests.chaos.schedule import Places
from tests.support.azure import behind, endpoint
from tests.support.fault_proxy import FaultProxy
from tests.support.own_broker import OwnBroker
from tests.support.own_kafka import OwnKafka
from tests.support.tcp_proxy import TcpProxy
from tests.support.world import World, until

SESSION_S: Final = 8
HEADER_LIMIT_S: Final = 60.0
SETTLE_S: Final = 300.0
"""How long everything may take to become quiet after the last fault; what never becomes complete waits a minute, and
the rest of it takes seconds."""
UP_TIMEOUT_S: Final = 120
PRODUCER: Final = "producer"
_TYPES: Final = f"""\
[default]
header = "PT{HEADER_LIMIT_S:.0f}S"
"""
_SETTINGS: Final = {
    "BRH_SESSION_TIMEOUT_S": str(SESSION_S),
    "BRH_BRIDGE_SILENCE_S": "20",
    "BRH_WATERMARK_INTERVAL_S": "1",
    "BRH_SWEEP_INTERVAL_S": "5",
    "BRH_SWEEP_UNTOLD_S": "15",
}
_AMQP_OPTIONS: Final = "?heartbeat=5"
"""Three of them have to fit into the silence of a bridge."""


class Site:
    """Everything, in one folder; an async context manager: inside of it the stack is up, and the wires."""

    def __init__(
        self,
        folder: Path,
        *,
        bridges: int,
        trackers: int,
        deliveries: int,
        plant: str = "",
        env: Mapping[str, str] = {},
    ) -> None:
        """`plant`: a mistake that the processes are to have; `env`: settings that are to differ."""
        self.folder = folder
        self._counts = {"bridges": bridges, "trackers": trackers, "deliveries": deliveries}
        self._plant = plant
        self._env = env or {}
        self.wires: dict[tuple[str, str], TcpProxy] = {}
        """By process and service, amqp or kafka."""
        self.storage_wires: dict[str, FaultProxy] = {}
        self.processes: list[Child] = []
        self._beside: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def places(self) -> Places:
        """What there is to break."""
        by_wire = {wire: [name for name, other in self.wires if other == wire] for wire in ("amqp", "kafka")}
        names = [each.name for each in self.processes]
        return Places(names, by_wire["amqp"], by_wire["kafka"], list(self.storage_wires), SESSION_S)

    async def __aenter__(self) -> Site:
        self._exits = AsyncExitStack()
        try:
            await self._up()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def _up(self) -> None:
        names = {kind: [f"{kind}-{n}" for n in range(1, self._counts[of] + 1)] for kind, of in _KINDS.items()}
        workers = [name for of in names.values() for name in of]
        senders = [*names["bridge"], *names["delivery"]]
        for name, wire in [(name, "amqp") for name in (*senders, PRODUCER)] + [(name, "kafka") for name in workers]:
            self.wires[name, wire] = await self._exits.enter_async_context(TcpProxy(0))
        await asyncio.to_thread(install.ensure, lambda _: None)
        advertised = {_listener(name): self.wires[name, "kafka"].port for name in workers}
        self.rabbitmq = OwnBroker(self.folder / "amqp", RabbitMQ.limits)
        self.kafka = OwnKafka(self.folder / "kafka", advertised)
        self.brokers = {"rabbitmq": self.rabbitmq, "kafka": self.kafka}
        storage = self.folder / "blob"
        storage.mkdir()
        self._azurite = Azurite(storage, state_file.create(storage))
        for (name, wire), proxy in self.wires.items():
            proxy.upstream = self.kafka.listeners[_listener(name)] if wire == "kafka" else self.rabbitmq.node.port
        for down in (self.rabbitmq.down, self.kafka.down, self.azurite_down):
            self._exits.push_async_callback(asyncio.to_thread, down)
        await asyncio.gather(*map(asyncio.to_thread, (self.rabbitmq.up, self.kafka.up, self.azurite_up)))
        for name in senders:
            proxy = FaultProxy(endpoint(self._azurite.connection_string), keep_bodies=False)
            self.storage_wires[name] = await self._exits.enter_async_context(proxy)
        self._make_world()
        await asyncio.to_thread(self.world.provision)

    def _make_world(self) -> None:
        types = self.folder / "types.toml"
        types.write_text(_TYPES)
        stack_env = {**self.rabbitmq.env, **self.kafka.env, **self._azurite.env()}
        env = {**_SETTINGS, "BRH_TYPES_FILE": str(types), **self._env}
        self.world = World(stack_env, self.folder, **self._counts, env=env)
        self.processes = [self._wired(child) for child in children(**self._counts, env=self.world.env)]
        self._exits.push_async_callback(asyncio.to_thread, self.world.end_processes)

    def _wired(self, child: Child) -> Child:
        """The process, on its own wires and, where one is planted, with a mistake."""
        env = dict(child.env)
        env["BRH_KAFKA_BOOTSTRAP"] = f"127.0.0.1:{self.wires[child.name, 'kafka'].port}"
        if child.name in self.storage_wires:
            env["BRH_AMQP_URL"] = self._amqp_url(child.name)
            direct = env["BRH_BLOB_CONNECTION_STRING"]
            env["BRH_BLOB_CONNECTION_STRING"] = behind(self.storage_wires[child.name].url, direct)
        argv = child.argv
        if self._plant:
            argv = (argv[0], "-m", "tests.chaos.planted", self._plant, *argv[2:])
        return Child(child.name, argv, env)

    def _amqp_url(self, name: str) -> str:
        direct = urlsplit(self.world.amqp_url)
        login, _, _ = direct.netloc.rpartition("@")
        return direct._replace(netloc=f"{login}@127.0.0.1:{self.wires[name, 'amqp'].port}").geturl() + _AMQP_OPTIONS

    async def start(self) -> None:
        """Start the product's processes."""
        await asyncio.to_thread(self.world.run, self.processes)
        await asyncio.to_thread(self.world.wait_ready)

    # Services

    def azurite_up(self) -> None:
        """Return when it answers."""
        self._azurite.ensure(Deadline(UP_TIMEOUT_S), lambda _: None)

    def azurite_down(self) -> None:
        """By SIGTERM, always: SIGKILL makes it lose what it has acknowledged in the last five seconds."""
        self._azurite.stop()

    def service_pid(self, name: str) -> int | None:
        """Its process id."""
        service = self._azurite if name == "azurite" else self.brokers[name].node
        return service.process.pid()

    # Beside the product

    def begin(self, name: str, config: dict[str, Any]) -> None:
        """Start the producer or the checker."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config, indent=1))
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", f"tests.chaos.{name}", str(path)]
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._beside[name] = process
        self._exits.push_async_callback(asyncio.to_thread, _end, process)

    def ended(self, name: str) -> int | None:
        """Its exit code; None while it runs."""
        return self._beside[name].poll()

    def ask_to_end(self, name: str) -> None:
        """SIGTERM."""
        if self.ended(name) is None:
            os.kill(self._beside[name].pid, signal.SIGTERM)

    async def wait(self, probe: Callable[[], object], timeout_s: float, what: str) -> None:
        """Until it is so. Raises AssertionError."""
        await asyncio.to_thread(until, lambda: probe() or None, timeout_s, what)

    def checker_config(self) -> dict[str, Any]:
        """All that the checker knows."""
        world, env = self.world, self.world.env
        return {
            "folder": str(self.folder),
            "ledger": str(self.folder / "ledger.jsonl"),
            "amqp_url": world.amqp_url,
            "management_url": env["BRH_RABBITMQ_MANAGEMENT_URL"],
            "virtual_host": world.name,
            "kafka": env["BRH_KAFKA_BOOTSTRAP"],
            "outcomes_topic": world.topics.outcomes,
            "partitions": world.topics.partitions,
            "blob": env["BRH_BLOB_CONNECTION_STRING"],
            "container": world.name,
            "apis": [f"http://{each.env['BRH_API_BIND']}" for each in self.processes if "tracker" in each.name],
            "header_limit_s": HEADER_LIMIT_S,
            "settle_s": SETTLE_S,
        }

    def producer_config(self, seed: int, *, rate: float, bytes_max: int, huge_every: int) -> dict[str, Any]:
        """All that the producer knows."""
        return {
            "ledger": str(self.folder / "ledger.jsonl"),
            "amqp_url": self._amqp_url(PRODUCER),
            "reply_to": REPLIES,
            "seed": seed,
            "rate": rate,
            "at_once": 16,
            "bytes_max": bytes_max,
            "huge_every": huge_every,
        }


_KINDS: Final = {"bridge": "bridges", "tracker": "trackers", "delivery": "deliveries"}


def _listener(process: str) -> str:
    return process.upper().replace("-", "_")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
