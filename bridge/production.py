"""What `BRH_PROFILE=production` refuses. Pure.

Each check tells what is wrong by the name of its variable, and never shows a value: there are passwords in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from bridge.binds import is_loopback

REPLICAS_MIN: Final = 2
"""Of every topic."""

_EMULATOR_ACCOUNT = "devstoreaccount1"


def wrong_url(variable: str, url: str, scheme: str) -> Iterator[str]:
    """A RabbitMQ URL that is in plaintext or with anybody, or names the user that every broker has.

    One without a user does that, too.
    """
    parts = urlsplit(url)
    if parts.scheme != scheme:
        yield f"{variable}: must begin with {scheme}:// in production"
    if (parts.username or "guest") == "guest":
        yield f"{variable}: must name a user other than guest in production"
    if parse_qs(parts.query, keep_blank_values=True).get("no_verify_ssl", ["0"]) != ["0"]:
        yield f"{variable}: must not have no_verify_ssl in production: anybody could be at the other end"


def wrong_kafka(protocol: str, bootstrap: str, replication_factor: int) -> Iterator[str]:
    """Brokers that are spoken to in plaintext over a network; topics without a copy."""
    hosts = [each.strip().rpartition(":")[0].strip("[]") for each in bootstrap.split(",")]
    if not protocol.endswith("SSL") and not all(is_loopback(host) for host in hosts):
        yield "BRH_KAFKA_SECURITY_PROTOCOL: must be SSL or SASL_SSL in production, but for brokers on loopback"
    if replication_factor < REPLICAS_MIN:
        yield f"BRH_REPLICATION_FACTOR: must be at least {REPLICAS_MIN} in production"


def wrong_endpoint(variable: str, url: str | None) -> Iterator[str]:
    """An endpoint beyond this machine that is told something in plaintext: a secret, or what goes on here."""
    parts = urlsplit(url or "https:")
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        yield f"{variable}: must begin with https:// in production"


def wrong_storage(connection_string: str | None, account_url: str | None) -> Iterator[str]:
    """Storage in plaintext, or the emulator, whose key everybody knows."""
    given = dict(each.strip().partition("=")[::2] for each in (connection_string or "").split(";"))
    entries = {name.lower(): value.lower() for name, value in given.items()}
    if entries.get("usedevelopmentstorage") == "true" or entries.get("accountname") == _EMULATOR_ACCOUNT:
        yield "BRH_BLOB_CONNECTION_STRING: must not be the emulator's in production"
    if entries.get("defaultendpointsprotocol") == "http" or any(v.startswith("http://") for v in entries.values()):
        yield "BRH_BLOB_CONNECTION_STRING: must name https in production"
    if account_url and not account_url.lower().startswith("https://"):
        yield "BRH_BLOB_ACCOUNT_URL: must begin with https:// in production"
