"""Where RabbitMQ is and how to log in: what an AMQP URL says, read as the other AMQP library of this process reads it.

`amqp[s]://user:password@host:port/vhost?heartbeat=20&auth=external&cafile=…&certfile=…&keyfile=…&no_verify_ssl=0`
"""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import unquote

import msgspec
from pydantic import SecretStr
from yarl import URL

from bridge.settings import SettingsError

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_MECHANISMS: Final = {"plain": "PLAIN", "external": "EXTERNAL"}
HEARTBEAT_MAX_S: Final = 3_600
HEARTBEAT_DEFAULT_S: Final = 20
"""RabbitMQ notices that a consumer is gone after two to three of them, and gives its messages to nobody else before."""


class AmqpAddress(msgspec.Struct, frozen=True):
    """One broker, one virtual host, one identity."""

    host: str
    port: int
    vhost: str
    mechanism: str
    """SASL: PLAIN, or EXTERNAL where the client's certificate is the identity."""
    response: SecretStr
    heartbeat_s: int
    """What we ask for; 0 turns them off. The broker's own wish counts when it is shorter."""
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: SecretStr) -> AmqpAddress:
        """Raises SettingsError; it never quotes the URL, which holds a password."""
        try:
            return _parse(URL(url.get_secret_value()))
        except (ValueError, KeyError, OSError) as error:
            raise SettingsError(f"BRH_AMQP_URL: not an AMQP address ({type(error).__name__})") from None


def _parse(url: URL) -> AmqpAddress:
    query = url.query
    mechanism = _MECHANISMS[query.get("auth", "plain").lower()]
    heartbeat_s = int(query.get("heartbeat", HEARTBEAT_DEFAULT_S))
    default_port = _PORTS[url.scheme]
    if not url.host or not 0 <= heartbeat_s <= HEARTBEAT_MAX_S:
        raise ValueError("host or heartbeat")
    user, password = url.user or "guest", url.password or "guest"
    return AmqpAddress(
        host=url.host,
        port=url.port or default_port,
        vhost=unquote(url.raw_path[1:]) or "/",
        mechanism=mechanism,
        response=SecretStr(f"\0{user}\0{password}" if mechanism == "PLAIN" else ""),
        heartbeat_s=heartbeat_s,
        tls=_tls(url) if url.scheme == "amqps" else None,
    )


def _tls(url: URL) -> ssl.SSLContext:
    query = url.query
    context = ssl.create_default_context(cafile=query.get("cafile"), capath=query.get("capath"))
    if query.get("no_verify_ssl", "0") != "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if (certificate := query.get("certfile")) is not None:
        context.load_cert_chain(certificate, query.get("keyfile"))
    return context
