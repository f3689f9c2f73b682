"""A whole installation on the real stack: own virtual host, topics, container, ports; real processes.

The processes run under the product's own supervisor, in a thread with an event loop of its own, so that any test can
kill one of them and look on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen
from uuid import uuid4

from bridge.azure_blobs import AzureBlobs
from bridge.settings import BlobSettings
from streams.access import Access, Scope
from streams.provision import provision_blob, provision_kafka, provision_rabbitmq
from streams.settings import ClientSettings
from streams.supervisor import Child, Supervisor, children
from streams.topics import Topics
from tests.support.management import VirtualHost

PARTITIONS = 4
READY_S = 60.0
T = TypeVar("T")


def until(probe: Callable[[], T | None], timeout_s: float, what: str) -> T:
    """What the probe answers as soon as it is true; fails with `what` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)  # the interval of the poll, not a wait for something to have happened


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class World:
    """One installation; `start` returns when it is ready."""

    def __init__(
        self,
        stack_env: dict[str, str],
        folder: Path,
        *,
        bridges: int = 1,
        trackers: int = 1,
        deliveries: int = 1,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`env` holds settings that are to differ from those below."""
        self.name = f"t{uuid4().hex[:10]}"
        self.virtual_host = VirtualHost(stack_env, self.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "processes.log"
        self.api = f"http://127.0.0.1:{free_port()}"
        self.env = {
            **stack_env,
            "BRH_AMQP_URL": self.virtual_host.url,
            "BRH_NAMESPACE": self.name,
            "BRH_PARTITIONS": str(PARTITIONS),
            "BRH_BLOB_CONTAINER": self.name,
            "BRH_DATA_DIR": str(folder / "data"),
            "BRH_WORKER_ID": self.name,
            "BRH_SESSION_TIMEOUT_S": "6",
            "BRH_REDRIVE_INTERVAL_S": "5",
            "BRH_API_BIND": self.api.removeprefix("http://"),
            "BRH_DELIVERY_BIND": f"127.0.0.1:{free_port()}",
            "BRH_BRIDGE_BIND": f"127.0.0.1:{free_port()}",
            "BRH_API_URL": self.api,
            **(env or {}),
        }
        self.topics = Topics(self.name, PARTITIONS)
        self._trackers: list[str] = []
        """Addresses of those that run."""
        self._counts = {"bridges": bridges, "trackers": trackers, "deliveries": deliveries}
        self._supervisor: Supervisor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def settings(self) -> ClientSettings:
        """Settings of a client of this installation."""
        return ClientSettings(**{name.removeprefix("BRH_").lower(): value for name, value in self.env.items()})

    @property
    def amqp_url(self) -> str:
        return self.env["BRH_AMQP_URL"]

    @property
    def bootstrap(self) -> str:
        return self.env["BRH_KAFKA_BOOTSTRAP"]

    @property
    def access(self) -> dict[str, str]:
        """Headers with which one may do everything."""
        settings = self.settings
        return Access(settings.api_read_token, settings.api_operate_token).headers(Scope.OPERATE)

    def start(self) -> None:
        """Provision the three systems and start the processes."""
        self.provision()
        self.run(children(**self._counts, env=self.env))
        self.wait_ready()

    def provision(self) -> None:
        """Make what the processes need in the three systems."""
        self.virtual_host.make()
        with ThreadPoolExecutor(1) as thread:  # a test may be running an event loop in this one
            thread.submit(asyncio.run, self._provision()).result()

    def run(self, processes: list[Child]) -> None:
        """Keep these processes running, until `end_processes`."""
        self._trackers = [each.env["BRH_API_BIND"] for each in processes if each.name.startswith("tracker-")]
        ready = threading.Event()

        def serve() -> None:
            async def supervise() -> None:
                self._loop = asyncio.get_running_loop()
                with self.log.open("a") as log:
                    self._supervisor = Supervisor(processes, lambda name, line: print(name, line, file=log, flush=True))
                    ready.set()
                    await self._supervisor.run()

            asyncio.run(supervise())

        self._thread = threading.Thread(target=serve, name=self.name)
        self._thread.start()
        assert ready.wait(10)

    def wait_ready(self) -> None:
        """Until all trackers have their partitions and have looked at them; one that comes later takes some away."""
        for address in self._trackers:
            for path in ("/readyz", "/v1/summary"):
                until(partial(self._answers, f"http://{address}{path}"), READY_S, f"{address} is ready; see {self.log}")

    def end_processes(self) -> None:
        """SIGTERM to all, and wait until they have ended."""
        if self._loop is not None and self._supervisor is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._supervisor.stop)
            self._thread.join(timeout=60)
            assert not self._thread.is_alive(), "processes did not end"
            self._loop = self._supervisor = self._thread = None

    def stop(self) -> None:
        self.end_processes()
        self.virtual_host.drop()

    def pid(self, name: str) -> int | None:
        return self._supervisor.pid(name) if self._supervisor else None

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """SIGKILL one process, or send it another signal; when it has ended its supervisor starts it again."""

        def kill_once() -> int | None:
            pid = self.pid(name)
            try:
                if pid is not None:
                    os.kill(pid, number)
            except ProcessLookupError:  # killed a moment ago, and the supervisor has not seen it yet
                return None
            return pid

        return until(kill_once, 20, f"{name} runs")

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET from the API; status 0 when nobody answers."""
        return self._get(self.api + path)

    def _answers(self, url: str) -> bool:
        return self._get(url)[0] == 200

    def _get(self, url: str) -> tuple[int, Any]:
        try:
            with urlopen(Request(url, headers=self.access), timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")
        except (URLError, OSError):
            return 0, None

    def transaction(self, transaction: str) -> dict[str, Any] | None:
        status, body = self.get(f"/v1/transactions/{transaction}")
        return body if status == 200 else None

    def wait_state(self, transaction: str, states: Iterable[str], timeout_s: float = 60) -> dict[str, Any]:
        """The transaction once it is in one of these states."""
        wanted = frozenset(states)
        found: dict[str, Any] | None = None

        def probe() -> dict[str, Any] | None:
            nonlocal found
            found = self.transaction(transaction)
            return found if found and found["state"] in wanted else None

        try:
            return until(probe, timeout_s, f"{transaction} in {sorted(wanted)}; see {self.log}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {json.dumps(found)}") from None

    def queue(self, name: str) -> dict[str, Any]:
        """What the broker tells of a queue."""
        return self.virtual_host.queue(name)

    def blobs(self) -> AzureBlobs:
        """The installation's container; an async context manager."""
        settings = self.settings
        return AzureBlobs(
            BlobSettings(blob_connection_string=settings.blob_connection_string, blob_container=settings.blob_container)
        )

    async def _provision(self) -> None:
        settings = self.settings
        await asyncio.gather(
            provision_rabbitmq(settings), provision_kafka(settings, self.topics), provision_blob(settings)
        )
