"""RabbitMQ as an ordinary process: private folders, private Erlang name server, loopback only."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import ClassVar, Final
from urllib.parse import quote

from streams.stack import ports, programs
from streams.stack.deadline import Deadline
from streams.stack.process import Process
from streams.stack.service import Service

_USER: Final = "brh"
_VHOST: Final = "brh"
_ASK_TIMEOUT_S: Final = 5
_EPMD_START_S: Final = 10
_EPMD_STOP_S: Final = 5
_POLL_S: Final = 0.05
_FOREIGN_PREFIXES: Final = ("RABBITMQ_", "ERL_", "NOTIFY_SOCKET")

_ADDRESSES: Final = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {prometheus}
default_vhost = {vhost}
default_user = {user}
default_pass = {password}
default_user_tags.administrator = true
"""
# Setting one key of tcp_listen_options drops the defaults of all others: they are all here. The reason for setting
# one is send_timeout: the default of 30 s cuts off a consumer that takes a large message slowly but steadily.
_LIMITS: Final = """\
max_message_size = 314572800
consumer_timeout = 1800000
vm_memory_calculation_strategy = allocated
disk_free_limit.absolute = 1GB
tcp_listen_options.backlog = 128
tcp_listen_options.nodelay = true
tcp_listen_options.linger.on = true
tcp_listen_options.linger.timeout = 0
tcp_listen_options.exit_on_close = false
tcp_listen_options.send_timeout = 600000
"""


class RabbitMQ(Service):
    """One node, with its own epmd: a shared one would outlive us, and nobody could tell whose it is."""

    name: ClassVar[str] = "rabbitmq"
    port_names: ClassVar[tuple[str, ...]] = ("amqp", "management", "prometheus", "distribution")
    grace_s: ClassVar[float] = 60
    plugins: ClassVar[tuple[str, ...]] = ("rabbitmq_management", "rabbitmq_prometheus")
    limits: ClassVar[str] = _LIMITS
    """Lines of the configuration file; a broker that shows what other limits do has others."""

    @property
    def url(self) -> str:
        """For AMQP clients."""
        user, password, vhost = (quote(part, safe="") for part in (_USER, self.state.amqp_password, _VHOST))
        return f"amqp://{user}:{password}@{ports.LOOPBACK}:{self.port}/{vhost}"

    def env(self) -> Mapping[str, str]:
        """AMQP, and the HTTP interface of the management plugin."""
        user, password = (quote(part, safe="") for part in (_USER, self.state.amqp_password))
        management = f"http://{user}:{password}@{ports.LOOPBACK}:{self.state.ports['management']}"
        return {"BRH_AMQP_URL": self.url, "BRH_RABBITMQ_MANAGEMENT_URL": management}

    def version(self) -> str | None:
        """Taken from the folder's name: asking the program takes a second."""
        server = programs.find_rabbitmq()
        found = re.search(r"rabbitmq_server-([0-9.]+)", str(server.resolve())) if server else None
        return found.group(1) if found else None

    def start(self) -> None:
        """Start epmd, then the node; the first start declares user and vhost."""
        for name in ("etc", "mnesia", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        config = self.folder / "etc" / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text(self.config())
        (self.folder / "etc" / "enabled_plugins").write_text(f"[{','.join(self.plugins)}].\n")
        self._start_epmd()
        self.process.start([programs.rabbitmq()], self.environment())

    def config(self) -> str:
        """The configuration file."""
        addresses = _ADDRESSES.format(**self.state.ports, user=_USER, vhost=_VHOST, password=self.state.amqp_password)
        return addresses + self.limits

    def stop(self) -> bool:
        """End the node, then its name server."""
        stopped = super().stop()
        self._epmd.stop(_EPMD_STOP_S)
        return stopped

    def answers(self) -> bool:
        """Whether a client can log in."""
        return asyncio.run(self._log_in())

    async def _log_in(self) -> bool:
        # Here, not above: the library takes longer to load than `env` and `down` take to run.
        import aio_pika
        from aio_pika.exceptions import AMQPError

        try:
            connection = await aio_pika.connect(self.url, timeout=_ASK_TIMEOUT_S)
            await connection.close()
        except (AMQPError, OSError, TimeoutError):
            return False
        return True

    @property
    def _epmd(self) -> Process:
        return Process(self.folder / "epmd")

    def _start_epmd(self) -> None:
        port = self.state.ports["epmd"]
        if self._epmd.pid() is None:
            self.check_port("epmd")
            self._epmd.start([programs.epmd(), "-port", str(port), "-address", ports.LOOPBACK], self.environment())
        deadline = Deadline(_EPMD_START_S)
        # The node would otherwise start a daemon of its own, whose pid nobody knows.
        while not ports.is_listening(port) and deadline.pause(_POLL_S):
            pass

    def environment(self) -> dict[str, str]:
        """For the server and its tools: everything that would lead to the machine's own broker is replaced."""
        folder, server = self.folder, programs.rabbitmq()
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_PREFIXES)},
            "HOME": str(folder),  # where Erlang keeps the cookie
            "PATH": os.pathsep.join([str(server.parent), os.environ.get("PATH", os.defpath)]),
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
            "ERL_EPMD_PORT": str(self.state.ports["epmd"]),
            "RABBITMQ_NODENAME": self.state.node,
            "RABBITMQ_DIST_PORT": str(self.state.ports["distribution"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": str(folder / "etc" / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "etc" / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "etc" / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "etc" / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "etc" / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "mnesia" / "config"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "mnesia" / "schema"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "node.pid"),
            # Lets the start script replace itself with the node instead of waiting for it: our pid is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
