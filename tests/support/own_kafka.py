"""A Kafka for tests that kill it, or look at it through proxies: its own folder, ports and process.

Kafka tells its clients where to go on with, so one that is behind a proxy has a listener of its own for it, and tells
those who come by it to come by the proxy again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from streams.stack import ports
from streams.stack import state as state_file
from streams.stack.deadline import Deadline
from streams.stack.kafka import Kafka
from tests.support.world import until

UP_TIMEOUT_S = 120


class OwnKafka:
    """One node; `up` again after `down` or `kill` keeps ports and data."""

    def __init__(self, folder: Path, advertised: Mapping[str, int]) -> None:
        """`advertised`: for each proxy its port, by a name in capitals."""
        folder.mkdir(parents=True, exist_ok=True)
        self.listeners = ports.choose(advertised)
        """The ports behind the proxies."""
        own = self.listeners

        class Node(Kafka):
            def config(self) -> str:
                lines = []
                for line in super().config().splitlines():
                    key = line.partition("=")[0]
                    more = {
                        "listeners": [f"{name}://{ports.LOOPBACK}:{port}" for name, port in own.items()],
                        "advertised.listeners": [
                            f"{name}://{ports.LOOPBACK}:{port}" for name, port in advertised.items()
                        ],
                        "listener.security.protocol.map": [f"{name}:PLAINTEXT" for name in own],
                    }.get(key, [])
                    lines.append(",".join([line, *more]))
                return "\n".join(lines) + "\n"

        self.node = Node(folder, state_file.create(folder))

    @property
    def env(self) -> dict[str, str]:
        """The `BRH_*` variables that lead here, by no proxy."""
        return dict(self.node.env())

    def up(self) -> None:
        """Return when it answers."""
        self.node.ensure(Deadline(UP_TIMEOUT_S), lambda _: None)

    def down(self) -> None:
        """Stop it cleanly."""
        self.node.stop()

    def kill(self) -> None:
        """SIGKILL."""
        pid = self.node.process.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        own = [self.node.state.ports[name] for name in self.node.port_names] + list(self.listeners.values())
        until(lambda: self.node.process.pid() is None and all(map(ports.is_free, own)), 20, "Kafka is dead")
