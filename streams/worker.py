"""What both Faust apps are configured with, and why."""

from __future__ import annotations

from typing import Any, Final

import faust
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from bridge import metrics
from bridge.binds import host_and_port
from bridge.kafka_access import tls, token_provider
from bridge.logs import configure_logs
from bridge.process import Process
from streams.api_settings import url_of
from streams.hardened import Limits
from streams.settings import WorkerSettings
from streams.topics import RECORD_MAX_BYTES

HEARTBEATS_PER_SESSION: Final = 5
REBALANCE_TIMEOUT_S: Final = 60


class PlainWorker(Process, faust.Worker):
    """Without Faust's spinner, which writes between the lines of the log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None


def worker_options(settings: WorkerSettings, group: str, bind: str, url: str = "", *, process: str) -> dict[str, Any]:
    """Keyword arguments for `HardenedApp`.

    `url` is where other workers find this one, if not at its bind address; `process` is its name in the logs.
    """
    metrics.transaction_type.values_max = settings.metrics_types_max
    host, port = host_and_port(bind)
    name = settings.worker_id or f"port-{port}"
    configure_logs(settings, process, name)
    return {
        "limits": Limits(
            settings.frozen_session_share,
            settings.fence_session_share,
            settings.stall_max_s,
            settings.partition_stall_max_s,
            settings.recovery_quiet_s,
        ),
        "broker": [f"kafka://{server.strip()}" for server in settings.kafka_bootstrap.split(",")],
        "broker_credentials": _credentials(settings),
        "autodiscover": False,
        "Worker": PlainWorker,
        "datadir": str(settings.data_dir / f"{group}-{name}"),
        # Transactions of Kafka do not reach RabbitMQ or blob storage, and Faust's commit offsets outside of them.
        "processing_guarantee": "at_least_once",
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replication_factor,
        "topic_allow_declare": False,  # `brh setup` creates them, with the retention they need
        "topic_disable_leader": True,
        "table_standby_replicas": 0,  # of no use with tables in memory: a promoted standby replays from the beginning
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": f"{group}-{settings.worker_id}" if settings.worker_id else None,
        "consumer_max_fetch_size": RECORD_MAX_BYTES,
        "producer_max_request_size": RECORD_MAX_BYTES,
        "producer_acks": -1,
        "producer_linger": 0.005,
        "producer_request_timeout": settings.produce_timeout_s,
        "broker_commit_interval": 1.0,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": min(3.0, settings.session_timeout_s / HEARTBEATS_PER_SESSION),
        "broker_rebalance_timeout": REBALANCE_TIMEOUT_S,
        "web_bind": host,
        "web_host": host,
        "web_port": port,
        "web_router_enabled": False,
        "canonical_url": url or url_of(host, port),
    }


def _credentials(settings: WorkerSettings) -> SASLCredentials | OAuthCredentials | SSLCredentials | None:
    """As Faust wants them."""
    context = tls(settings)
    if (provider := token_provider(settings)) is not None:
        return OAuthCredentials(oauth_cb=provider, ssl_context=context)
    if settings.kafka_security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=settings.kafka_security_user,
            password=settings.kafka_security_password.get_secret_value(),
            ssl_context=context,
            mechanism=settings.kafka_security_mechanism,
        )
    return SSLCredentials(context) if context is not None else None


def raw_topic(app: faust.App, name: str, partitions: int) -> Any:
    """A topic whose records we decode ourselves: what Faust cannot decode, it drops."""
    return app.topic(
        name, partitions=partitions, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
