"""A Kafka that lets nobody in who does not show who he is: by a password over TLS, or by a certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.stack import ports
from streams.stack import state as state_file
from streams.stack.deadline import Deadline
from streams.stack.kafka import Kafka
from tests.support.certificates import Authority

UP_TIMEOUT_S = 120
USER, PASSWORD = "brh", "s3cret-of-kafka"
_SECURITY = """\
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mutual.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
"""
_AUTHORIZER = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
"""Who comes by the plaintext listener is the broker itself, or whoever manages it; others may do what was allowed."""


class SecureKafka:
    """One node; its plaintext listener is for itself and for whoever waits until it is up."""

    def __init__(
        self, folder: Path, authority: Authority, users: Mapping[str, str] | None = None, *, authorizer: bool = False
    ) -> None:
        """`users`: passwords by name. With an authorizer, they may do nothing that no ACL allows."""
        users = users or {USER: PASSWORD}
        folder.mkdir(parents=True, exist_ok=True)
        server = authority.sign("kafka", "IP:127.0.0.1")
        keystore = folder / "keystore.pem"
        keystore.write_text(server.key.read_text() + server.certificate.read_text())
        security = _SECURITY.format(keystore=keystore, truststore=authority.certificate)
        security += _AUTHORIZER if authorizer else ""
        chosen = ports.choose(("scram", "mutual"))
        self.scram = f"{ports.LOOPBACK}:{chosen['scram']}"
        """By name and password over TLS."""
        self.mutual = f"{ports.LOOPBACK}:{chosen['mutual']}"
        """By certificate."""
        listeners = [f"{name.upper()}://{ports.LOOPBACK}:{port}" for name, port in chosen.items()]

        class Node(Kafka):
            def config(self) -> str:
                lines = []
                for line in super().config().splitlines():
                    key = line.partition("=")[0]
                    more = {
                        "listeners": listeners,
                        "advertised.listeners": listeners,
                        "listener.security.protocol.map": ["SCRAM:SASL_SSL", "MUTUAL:SSL"],
                    }.get(key, [])
                    lines.append(",".join([line, *more]))
                return "\n".join(lines) + "\n" + security

            def _java(self, *arguments: str) -> Sequence[str]:
                if "format" in arguments:
                    for name, password in users.items():
                        arguments += ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
                return super()._java(*arguments)

        self.node = Node(folder, state_file.create(folder))

    def up(self) -> None:
        """Return when it answers."""
        self.node.ensure(Deadline(UP_TIMEOUT_S), lambda _: None)

    def down(self) -> None:
        """Stop it."""
        self.node.stop()
