"""Kafka as an ordinary process: one node that is broker and controller, without ZooKeeper."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from streams.stack import install, ports, programs
from streams.stack.errors import StackError
from streams.stack.service import Service

PARTITIONS: Final = 8
"""Enough to be shared by several workers, few enough to recover fast on one machine."""

_ASK_TIMEOUT_S: Final = 5
_FORMAT_TIMEOUT_S: Final = 60
# Small, and quick to start: rates are measured with other flags, on another machine.
_JAVA_FLAGS: Final = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOGGING: Final = """\
<Configuration status="OFF">
  <Appenders><Console name="console"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
"""
# After a SIGKILL the controller takes the broker back only when the session of the one before is over. Sessions shorter
# than these 9 s fence a broker that a busy machine merely keeps waiting.
_CONFIG: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=9000
auto.create.topics.enable=false
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
group.initial.rebalance.delay.ms=0
num.partitions={partitions}
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


class Kafka(Service):
    """One broker; nothing is replicated."""

    name: ClassVar[str] = "kafka"
    port_names: ClassVar[tuple[str, ...]] = ("kafka", "controller")
    grace_s: ClassVar[float] = 30

    @property
    def bootstrap(self) -> str:
        """For Kafka clients."""
        return f"{ports.LOOPBACK}:{self.port}"

    def env(self) -> Mapping[str, str]:
        """The broker, and how many partitions suit it."""
        return {"BRH_KAFKA_BOOTSTRAP": self.bootstrap, "BRH_PARTITIONS": str(PARTITIONS)}

    def version(self) -> str | None:
        """The pinned one: no other can be installed."""
        return install.kafka_version()

    def start(self) -> None:
        """Format the data folder when it is new, then start the broker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "server.properties"
        (self.folder / "log4j2.xml").write_text(_LOGGING)
        config.write_text(self.config())
        if not (self._data / "meta.properties").exists():
            self._format(config)
        self.process.start(self._java("kafka.Kafka", str(config)), os.environ)

    def config(self) -> str:
        """The configuration file."""
        return _CONFIG.format(**self.state.ports, data=self._data, partitions=PARTITIONS)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def answers(self) -> bool:
        """Whether it is our cluster, has a controller, and a topic could be created."""
        return asyncio.run(self._could_create_topic())

    async def _could_create_topic(self) -> bool:
        # Here, not above: the library takes longer to load than `env` and `down` take to run.
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic
        from aiokafka.errors import KafkaError

        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=_ASK_TIMEOUT_S * 1_000)
        try:
            # Not cut by a limit of ours, or it leaves its connection open; each of its requests has that limit.
            await admin.start()
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                cluster = await admin.describe_cluster()
                if cluster["cluster_id"] != self.state.cluster_id or cluster["controller_id"] in (None, -1):
                    return False
                # Only validated: the controller answers as it would for a real one, and nothing is left behind.
                answer = await admin.create_topics([NewTopic("brh-ready", 1, 1)], validate_only=True)
                return all(error[1] == 0 for error in answer.topic_errors)
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()

    def _format(self, config: Path) -> None:
        command = self._java("kafka.tools.StorageTool", "format", "-t", self.state.cluster_id, "-c", str(config))
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
        if done.returncode:
            raise StackError(
                f"kafka could not format its data folder: {(done.stderr or done.stdout).strip()}",
                code="kafka-format",
                remedy="Run brh stack down --wipe, then brh stack up.",
            )

    def _java(self, *arguments: str) -> Sequence[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.xml'}"
        return [str(programs.java()), *_JAVA_FLAGS, logging, "-cp", f"{install.kafka_jars()}/*", *arguments]
