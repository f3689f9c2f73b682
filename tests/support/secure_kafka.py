"""A Kafka that lets nobody in who does not show who he is: by a password over TLS, or by a certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.stack import ports
from streams.stack import state as state_file
from streams.stack.deadline import Deadline
from streams.stack.kafka import Kafka
from tests.support.certificates import Authority, Certificate
from tests.support.token_issuer import AUDIENCE, ISSUER, TokenIssuer

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
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={expired}
"""
_TOKENS = """\
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.jwks.endpoint.url={keys}
sasl.oauthbearer.expected.audience={audience}
sasl.oauthbearer.expected.issuer={issuer}
"""
_AUTHORIZER = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
"""Who comes by the plaintext listener is the broker itself, or whoever manages it; others may do what was allowed."""


class SecureKafka:
    """One node; its plaintext listener is for itself and for whoever waits until it is up."""

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        users: Mapping[str, str] | None = None,
        *,
        issuer: TokenIssuer | None = None,
        authorizer: bool = False,
    ) -> None:
        """`users`: passwords by name. With an authorizer, they may do nothing that no ACL allows."""
        users = users or {USER: PASSWORD}
        folder.mkdir(parents=True, exist_ok=True)
        security = _SECURITY.format(
            keystore=_keystore(folder / "keystore.pem", authority.sign("kafka", "IP:127.0.0.1")),
            expired=_keystore(folder / "expired.pem", authority.sign("kafka", "IP:127.0.0.1", expired=True)),
            truststore=authority.certificate,
        )
        security += _AUTHORIZER if authorizer else ""
        keys = issuer.keys.as_uri() if issuer else ""
        security += _TOKENS.format(keys=keys, audience=AUDIENCE, issuer=ISSUER) if issuer else ""
        protocols = {
            "SCRAM": "SASL_SSL",
            "MUTUAL": "SSL",
            "EXPIRED": "SSL",
            **({"OAUTH": "SASL_SSL"} if issuer else {}),
        }
        chosen = ports.choose([name.lower() for name in protocols])
        self.scram = f"{ports.LOOPBACK}:{chosen['scram']}"
        """By name and password over TLS."""
        self.mutual = f"{ports.LOOPBACK}:{chosen['mutual']}"
        """By certificate."""
        self.expired = f"{ports.LOOPBACK}:{chosen['expired']}"
        """By TLS, with a certificate of the broker that ended a day ago."""
        self.oauth = f"{ports.LOOPBACK}:{chosen.get('oauth')}"
        """By token over TLS, where there is an issuer."""
        listeners = [f"{name.upper()}://{ports.LOOPBACK}:{port}" for name, port in chosen.items()]

        class Node(Kafka):
            def config(self) -> str:
                lines = []
                for line in super().config().splitlines():
                    key = line.partition("=")[0]
                    more = {
                        "listeners": listeners,
                        "advertised.listeners": listeners,
                        "listener.security.protocol.map": [
                            f"{name}:{protocol}" for name, protocol in protocols.items()
                        ],
                    }.get(key, [])
                    lines.append(",".join([line, *more]))
                return "\n".join(lines) + "\n" + security

            def _java(self, *arguments: str) -> Sequence[str]:
                if "format" in arguments:
                    for name, password in users.items():
                        arguments += ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
                program, *options = super()._java(*arguments)
                return [program, f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}", *options]

        self.node = Node(folder, state_file.create(folder))

    def up(self) -> None:
        """Return when it answers."""
        self.node.ensure(Deadline(UP_TIMEOUT_S), lambda _: None)

    def down(self) -> None:
        """Stop it."""
        self.node.stop()


def _keystore(file: Path, server: Certificate) -> Path:
    file.write_text(server.key.read_text() + server.certificate.read_text())
    return file
