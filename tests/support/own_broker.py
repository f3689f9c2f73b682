"""A RabbitMQ for tests that stop it, raise its alarms or change its limits: its own folder, ports and processes.

broker = OwnBroker(tmp_path, limits=DEFAULT_LIMITS)
broker.up()
... broker.env, broker.ctl("list_queues") ...
broker.down()
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from streams.stack import ports, programs
from streams.stack import state as state_file
from streams.stack.deadline import Deadline
from streams.stack.rabbitmq import RabbitMQ
from tests.support.world import until

UP_TIMEOUT_S = 120
SHIPPED_LIMITS = (Path(__file__).parents[2] / "ops" / "rabbitmq.conf").read_text()
DEFAULT_LIMITS = """\
max_message_size = 314572800
vm_memory_calculation_strategy = allocated
disk_free_limit.absolute = 1GB
"""
"""A broker that takes large messages, and is otherwise as it comes."""


class OwnBroker:
    """One node; `up` again after `down` or `kill` keeps ports and data."""

    def __init__(
        self, folder: Path, limits: str = SHIPPED_LIMITS, *, plugins: tuple[str, ...] = (), advanced: str = ""
    ) -> None:
        """`limits` are lines of rabbitmq.conf, `advanced` is all of advanced.config."""
        folder.mkdir(parents=True, exist_ok=True)

        class Node(RabbitMQ):
            pass

        Node.limits = limits
        Node.plugins = (*RabbitMQ.plugins, *plugins)
        self.node = Node(folder, state_file.create(folder))
        self._advanced = advanced

    @property
    def env(self) -> dict[str, str]:
        """The `BRH_*` variables that lead here."""
        return dict(self.node.env())

    def up(self) -> None:
        """Return when it answers."""
        (self.node.folder / "etc").mkdir(parents=True, exist_ok=True)
        if self._advanced:
            (self.node.folder / "etc" / "advanced.config").write_text(self._advanced)
        self.node.ensure(Deadline(UP_TIMEOUT_S), lambda _: None)

    def down(self) -> None:
        """Stop it cleanly."""
        self.node.stop()

    def kill(self) -> None:
        """SIGKILL to the node; its name server lives on."""
        pid = self.node.process.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        def gone() -> bool:
            """Its threads may hold its ports for a moment longer than it lives."""
            own = (self.node.state.ports[name] for name in self.node.port_names)
            return self.node.process.pid() is None and all(map(ports.is_free, own))

        until(gone, 20, "the broker is dead")

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` prints."""
        tool = programs.rabbitmq().with_name("rabbitmqctl")
        done = subprocess.run(
            [tool, "--quiet", "--node", self.node.state.node, *arguments],
            env=self.node.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
