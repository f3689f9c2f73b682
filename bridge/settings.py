"""Settings of the systems that every process talks to, and of the bridge itself.

Read from `BRH_*` variables, `.env` and a directory of secret files (`BRH_SECRETS_DIR`). Each process has its own
class with only the groups it needs. `load` turns everything that is wrong into one sentence that names each variable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from bridge.binds import Bind
from bridge.contract.inbound import PAYLOAD_MAX_BYTES
from bridge.production import wrong_endpoint, wrong_kafka, wrong_storage, wrong_url

OAUTH: Final = "OAUTHBEARER"
"""The mechanism of SASL that takes tokens."""


class SettingsError(Exception):
    """The settings are wrong: set the variables that are named, in the environment or in `.env`."""

    remedy: Final = "Correct what is named, in the environment or in .env: docs/settings.md has all variables."


class BaseGroup(BaseSettings):
    """Settings that belong together; a process inherits from the groups that it needs."""

    model_config = SettingsConfigDict(
        env_prefix="BRH_", env_file=".env", secrets_dir=os.environ.get("BRH_SECRETS_DIR"), extra="ignore", frozen=True
    )


class InstanceSettings(BaseGroup):
    """Who we are among several installations."""

    instance: str = Field("default", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    """Last segment of the `source` of every CloudEvent."""
    namespace: str = Field("brh", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    """Prefix of Kafka topics and consumer groups, so that installations can share a cluster."""
    profile: Literal["development", "production"] = "development"
    """`production` refuses plaintext, Kafka's excepted at loopback addresses, certificates that nobody verifies, the
    user `guest`, the storage emulator, and a replication factor of 1. It also refuses to start with systems that were
    asked and do not suit; `development` warns of them."""


def _url(given: SecretStr | None) -> SecretStr | None:
    """A URL."""
    if given is not None:
        try:
            read, host = urlsplit(given.get_secret_value()), URL(given.get_secret_value()).host
        except ValueError:  # what libraries say of it may quote the password
            read, host = None, None
        if read is None or not read.scheme or not host:
            raise ValueError("is no URL")
    return given


class AmqpSettings(BaseGroup):
    """RabbitMQ."""

    amqp_url: Annotated[SecretStr, AfterValidator(_url)] = SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    """Broker, user, password and virtual host; `amqps` for TLS."""
    rabbitmq_management_url: Annotated[SecretStr | None, AfterValidator(_url)] = None
    """Its management API, with user and password; only asked whether the broker's limits and queues suit us."""


class KafkaSettings(BaseGroup):
    """Kafka."""

    kafka_bootstrap: str = "127.0.0.1:9092"
    """HOST:PORT of one or more brokers, separated by commas."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to; with SSL their certificates are verified."""
    kafka_security_ca_file: Path | None = None
    """PEM of the authorities that brokers' certificates come from. None: those of this machine."""
    kafka_security_cert_file: Path | None = None
    """PEM of our own certificate, where brokers ask for one."""
    kafka_security_key_file: Path | None = None
    """PEM of its key. None: it is in the file of the certificate."""
    kafka_security_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """Of SASL."""
    kafka_security_user: str = ""
    """Of SASL; for OAUTHBEARER the id of the client."""
    kafka_security_password: SecretStr = SecretStr("")
    """Of SASL; for OAUTHBEARER the secret of the client."""
    kafka_security_token_file: Path | None = None
    """Of OAUTHBEARER: a token, and nothing else. It is read again for every connection, because whoever renews it, as
    Kubernetes does, replaces the file. At most 64 KiB."""
    kafka_security_token_url: str | None = None
    """Of OAUTHBEARER: the endpoint that gives tokens to clients with an id and a secret (OAuth 2, client credentials).
    A token is used for four fifths of its life, so that none ends on its way to a broker."""
    kafka_security_token_scope: str = ""
    """Of OAUTHBEARER: what the endpoint is asked for. Empty: whatever it gives."""
    kafka_security_token_timeout_s: float = Field(10, ge=1, le=60)
    """Of OAUTHBEARER: how long the endpoint may take. Kafka's client waits meanwhile, and tries again after it."""
    partitions: int = Field(64, ge=1, le=1_024)
    """Of each topic; fixed for the life of an installation, because it decides who owns a transaction."""
    replication_factor: int = Field(1, ge=1, le=9)
    """Of the topics that `brh setup` creates; 3 outside development."""
    produce_timeout_s: float = Field(60, ge=1, le=600)
    """How long a record may take to be acknowledged before the attempt counts as failed."""


class WatermarkSettings(BaseGroup):
    """What bridges and trackers have to agree on."""

    bridge_silence_s: float = Field(150, ge=1, le=900)
    """When a bridge has said nothing for so long, all that it had in hand is in the queues again. It covers the time
    until a bridge gives up that Kafka does not hear, and the time until RabbitMQ notices (three heartbeats). Waiting is
    not judged for so long after a bridge was lost, or a tracker took a partition over."""


class BlobSettings(BaseGroup):
    """Azure Blob Storage: either a connection string (emulator, development) or an account and its own identity."""

    blob_connection_string: SecretStr | None = None
    """Account and key; for the emulator and for development."""
    blob_account_url: str | None = None
    """The account's blob endpoint, entered with the process's own identity (DefaultAzureCredential)."""
    blob_container: str = Field("results", pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")
    """Where results are; one for each installation."""
    blob_api_version: str = "2026-06-06"
    """Pinned: the client's own default may be newer than what a region or the emulator has."""


class LogSettings(BaseGroup):
    """What processes log, to stderr."""

    log_format: Literal["console", "json"] = "console"
    """`json`: one object a line. `console` is for people."""
    log_level: Literal["info", "warning", "error"] = "info"
    """Lines below this are left out. There is nothing below `info`: libraries tell there what they send and receive."""


class TracingSettings(BaseGroup):
    """OpenTelemetry."""

    otel_endpoint: str = Field("", pattern=r"^(https?://[!-~]+)?$")
    """Base URL of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`. Empty: nothing is traced."""
    trace_share: float = Field(0.1, ge=0, le=1)
    """Share of the transactions that are traced, of those whose producers send no `traceparent`: that says it for
    itself. Delivering what failed or was abandoned is always traced. To keep such a transaction from its first message
    on, trace all and let the collector choose."""


class FactSettings(InstanceSettings, KafkaSettings):
    """Whoever publishes facts."""


class BridgeSettings(FactSettings, AmqpSettings, BlobSettings, WatermarkSettings, TracingSettings, LogSettings):
    """The bridge process."""

    lanes: int = Field(4, ge=1, le=64)
    """Connections to the queue of payloads, each with one payload in hand: what hides the latency of storage."""
    memory_mb: int = Field(128, ge=64, le=65_536)
    """MiB for the bodies of payloads, of all lanes together. A block of a long series takes 32 of them; when there are
    none, lanes wait."""
    blocks_in_flight: int = Field(2, ge=1, le=16)
    """Blocks of one large payload in memory at once: one is being received while the others are being stored."""
    small_prefetch: int = Field(65_535, ge=1, le=65_535)
    """Small payloads in hand at once, as far as `memory_mb` lets them: the more, the more neighbours share a block.
    Less where a crash must not bring back as many."""
    header_prefetch: int = Field(16, ge=1, le=1_000)
    """Headers in hand at once, of 1 MiB at most each."""
    payload_max_bytes: int = Field(PAYLOAD_MAX_BYTES, ge=1, le=PAYLOAD_MAX_BYTES)
    """Larger payloads are rejected."""
    hold_max_s: float = Field(1_200, ge=1, le=1_500)
    """How long a delivery is held while storage or Kafka fail, before it is given back to the queue. Below the
    broker's consumer timeout (30 min by default), which would close the channel instead."""
    watermark_interval_s: float = Field(5, ge=0.1, le=60)
    """How often the bridge says in each partition how far it has come; waiting is judged about three of these later."""
    bridge_bind: Bind = "127.0.0.1:6068"
    """Where the bridge tells how it is: /livez, /readyz, /version, /metrics. It may be any address, 0.0.0.0:6068 for a
    Prometheus on another machine: what is told there names no transaction, holds no secret, and takes no command. There
    is no access control either, so let only those that watch reach it."""
    bridge_id: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,64}$")
    """Name of this bridge in logs; made from host and process id when empty."""


_S = TypeVar("_S", bound=BaseSettings)


def load(cls: type[_S]) -> _S:
    """The settings of a process. Raises SettingsError naming every wrong variable."""
    try:
        settings = cls()
    except ValidationError as error:
        wrong = [f"BRH_{'_'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("; ".join(wrong)) from None
    if unfit := list(_unfit(settings)):
        raise SettingsError("; ".join(unfit))
    return settings


def _unfit(settings: BaseSettings) -> Iterator[str]:
    """What does not go together, and what the profile refuses, each with its variable."""
    if isinstance(settings, KafkaSettings) and settings.kafka_security_protocol.startswith("SASL"):
        yield from _missing(settings)
    if not isinstance(settings, InstanceSettings) or settings.profile != "production":
        return
    if isinstance(settings, AmqpSettings):
        yield from wrong_url("BRH_AMQP_URL", settings.amqp_url.get_secret_value(), "amqps")
        if management := settings.rabbitmq_management_url:
            yield from wrong_url("BRH_RABBITMQ_MANAGEMENT_URL", management.get_secret_value(), "https")
    if isinstance(settings, KafkaSettings):
        yield from wrong_kafka(settings.kafka_security_protocol, settings.kafka_bootstrap, settings.replication_factor)
        yield from wrong_endpoint("BRH_KAFKA_SECURITY_TOKEN_URL", settings.kafka_security_token_url)
    if isinstance(settings, TracingSettings):
        yield from wrong_endpoint("BRH_OTEL_ENDPOINT", settings.otel_endpoint)
    if isinstance(settings, BlobSettings):
        key = settings.blob_connection_string
        yield from wrong_storage(key.get_secret_value() if key else None, settings.blob_account_url)


def _missing(settings: KafkaSettings) -> Iterator[str]:
    """What SASL cannot do without."""
    if settings.kafka_security_mechanism == OAUTH:
        by_url = settings.kafka_security_token_url is not None
        if by_url == (settings.kafka_security_token_file is not None):
            yield (
                "BRH_KAFKA_SECURITY_TOKEN_FILE, BRH_KAFKA_SECURITY_TOKEN_URL: one of them must be set with "
                "BRH_KAFKA_SECURITY_MECHANISM=OAUTHBEARER"
            )
        if not by_url:
            return
    if not settings.kafka_security_user:
        yield "BRH_KAFKA_SECURITY_USER: must be set with BRH_KAFKA_SECURITY_PROTOCOL=SASL_…"
    if not settings.kafka_security_password.get_secret_value():
        yield "BRH_KAFKA_SECURITY_PASSWORD: must be set with BRH_KAFKA_SECURITY_PROTOCOL=SASL_…"
