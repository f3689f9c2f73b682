"""The demo's own installation on the local stack: settings, processes, readiness."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from streams.cli.errors import EXIT_NOT_READY, CliError
from streams.provision import provision_blob, provision_kafka, provision_rabbitmq
from streams.settings import ClientSettings
from streams.supervisor import Supervisor, children
from streams.topics import Topics

_POLL_S = 0.1


class Installation:
    """One bridge, two trackers, one delivery."""

    def __init__(self, stack_env: Mapping[str, str], folder: Path) -> None:
        self.folder = folder
        self.log = folder / "processes.log"
        self.binds = {
            "BRH_API_BIND": _free_bind(6066),
            "BRH_DELIVERY_BIND": _free_bind(6067),
            "BRH_BRIDGE_BIND": _free_bind(6068),
        }
        self.api_url = f"http://{self.binds['BRH_API_BIND']}"
        self._env = {
            **stack_env,
            "BRH_DATA_DIR": str(folder / "data"),
            "BRH_WORKER_ID": "demo",
            **self.binds,
            # What is killed should not be missed for long, and a demo has no load that would need more patience.
            "BRH_SESSION_TIMEOUT_S": "6",
        }
        fields = {name.removeprefix("BRH_").lower(): value for name, value in self._env.items()}
        self.client = ClientSettings.model_validate(
            {k: v for k, v in fields.items() if k in ClientSettings.model_fields}
        )
        self.amqp_url = self.client.amqp_url.get_secret_value()
        self._supervisor: Supervisor | None = None

    async def provision(self) -> None:
        """Create what is missing in the three systems."""
        await provision_rabbitmq(self.client)
        await provision_kafka(self.client, Topics(self.client.namespace, self.client.partitions))
        await provision_blob(self.client)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The processes run while the context is open; what they print goes to the log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            self._supervisor = Supervisor(
                children(1, 2, 1, self._env), lambda name, line: print(name, line, file=log, flush=True)
            )
            task = asyncio.create_task(self._supervisor.run())
            try:
                yield
            finally:
                self._supervisor.stop()
                await task

    async def ready(self, timeout_s: float) -> None:
        """Until the API answers for all partitions. Raises CliError."""
        end_s = time.monotonic() + timeout_s
        async with aiohttp.ClientSession() as session:
            while not await _is_ready(session, self.api_url):
                if time.monotonic() > end_s:
                    message = f"the processes are not ready after {timeout_s:g} s"
                    remedy = f"Look into {self.log}."
                    raise CliError(message, code="not-ready", remedy=remedy, exit_code=EXIT_NOT_READY)
                await asyncio.sleep(_POLL_S)

    def kill(self, name: str) -> int | None:
        """SIGKILL one process; the supervisor starts it again. Returns its process id."""
        pid = self._supervisor.pid(name) if self._supervisor else None
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _free_bind(wanted: int) -> str:
    """The usual port when it is free, another one otherwise."""
    for port in (wanted, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as server:
                return f"127.0.0.1:{server.getsockname()[1]}"
        except OSError:
            continue
    message = f"Neither port {wanted} of 127.0.0.1 is free nor any other"
    raise CliError(message, code="no-port", remedy="End what occupies them.")
