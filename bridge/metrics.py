"""Every metric of every process: its name, type, labels and meaning. `docs/metrics.md` is written from this module.

A process has one registry, for its kind. What counts is told by whoever sees it happen, at the edges: the pure modules
know of none of this. Labels have few values; a transaction's id is never one of them, and its type only up to
`TYPES_MAX` different ones, because whoever sends messages chooses it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

TYPES_MAX: Final = 100
"""Transaction types that are told apart; those that come later are `other`. Each one is a dozen time series."""
OTHER: Final = "other"

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_AGES: Final = (1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 6 * 3_600.0, 86_400.0, 6 * 86_400.0)
_RUNS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Kind(StrEnum):
    """Of processes."""

    BRIDGE = "bridge"
    TRACKER = "tracker"
    DELIVERY = "delivery"


class Described(NamedTuple):
    """A metric as the documentation shows it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str
    kinds: tuple[Kind, ...]


disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: twice as many of them, and nobody asks

_M = TypeVar("_M", bound=MetricWrapperBase)
CATALOGUE: Final[list[Described]] = []
REGISTRIES: Final = {kind: CollectorRegistry(auto_describe=True) for kind in Kind}
for _registry in REGISTRIES.values():
    ProcessCollector(registry=_registry)
    PlatformCollector(registry=_registry)


def _for(kinds: tuple[Kind, ...], metric: _M, labels: tuple[str, ...] = ()) -> _M:
    (described,) = metric.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    CATALOGUE.append(Described(name, described.type, labels, described.documentation, kinds))
    for kind in kinds:
        REGISTRIES[kind].register(metric)
    return metric


def _counter(name: str, meaning: str, *kinds: Kind, labels: tuple[str, ...] = ()) -> Counter:
    return _for(kinds, Counter(name, meaning, labels, registry=None), labels)


def _gauge(name: str, meaning: str, *kinds: Kind, labels: tuple[str, ...] = ()) -> Gauge:
    return _for(kinds, Gauge(name, meaning, labels, registry=None), labels)


def _histogram(
    name: str, meaning: str, *kinds: Kind, buckets: tuple[float, ...] = _SECONDS, labels: tuple[str, ...] = ()
) -> Histogram:
    return _for(kinds, Histogram(name, meaning, labels, registry=None, buckets=buckets), labels)


# Storage and notifications: bridges and deliveries

STORAGE_REQUESTS = _counter(
    "brh_storage_requests",
    "Requests to blob storage, attempts that are repeated included; status 0: no answer.",
    Kind.BRIDGE,
    Kind.DELIVERY,
    labels=("operation", "status"),
)
STORAGE_SECONDS = _histogram(
    "brh_storage_request_seconds",
    "From a request to the headers of its answer.",
    Kind.BRIDGE,
    Kind.DELIVERY,
    labels=("operation",),
)
NOTICE_SECONDS = _histogram(
    "brh_notice_seconds",
    "From publishing an event on RabbitMQ to its confirmation.",
    Kind.BRIDGE,
    Kind.DELIVERY,
)

# Bridges

PAYLOADS = _counter(
    "brh_intake_payloads",
    "Payloads that were staged, reported and acknowledged.",
    Kind.BRIDGE,
    labels=("size_class",),
)
PAYLOAD_BYTES = _counter("brh_intake_payload_bytes", "Bytes of their bodies.", Kind.BRIDGE, labels=("size_class",))
HEADERS = _counter("brh_intake_headers", "Headers that were kept, reported and acknowledged.", Kind.BRIDGE)
REJECTED = _counter(
    "brh_intake_rejected", "Messages that were refused, by the code of the refusal.", Kind.BRIDGE, labels=("code",)
)
STAGE_SECONDS = _histogram(
    "brh_intake_stage_seconds",
    "From the first byte of a large payload, or the beginning of a batch of small ones, to its last block in storage.",
    Kind.BRIDGE,
    labels=("size_class",),
)
RUN_PAYLOADS = _histogram("brh_intake_run_payloads", "Small payloads that share a block.", Kind.BRIDGE, buckets=_RUNS)
FACT_SECONDS = _histogram(
    "brh_intake_fact_seconds", "From publishing a fact to the acknowledgement of all in-sync replicas.", Kind.BRIDGE
)
FACTS_FAILED = _counter(
    "brh_intake_facts_failed", "Facts that Kafka did not acknowledge; each is repeated.", Kind.BRIDGE
)
LANES_OPEN = _gauge("brh_lanes_open", "Lanes that are consuming.", Kind.BRIDGE, labels=("queue",))
LANES_CLOSED = _counter(
    "brh_lanes_closed", "Lanes that have ended; each is opened again.", Kind.BRIDGE, labels=("queue",)
)
UNSETTLED = _gauge(
    "brh_lanes_unsettled",
    "Messages in hand: delivered, and neither acknowledged nor refused.",
    Kind.BRIDGE,
    labels=("queue",),
)
UNSETTLED_SECONDS = _gauge(
    "brh_lanes_unsettled_seconds",
    "How long the oldest message has been in hand; RabbitMQ closes the channel at its consumer timeout.",
    Kind.BRIDGE,
    labels=("queue",),
)
QUEUE_MESSAGES = _gauge(
    "brh_queue_messages", "Messages that wait in a queue, as the broker said last.", Kind.BRIDGE, labels=("queue",)
)
MEMORY_BYTES = _gauge("brh_memory_held_bytes", "Granted for bodies.", Kind.BRIDGE)
MEMORY_LIMIT_BYTES = _gauge("brh_memory_limit_bytes", "That may be granted: BRH_MEMORY_MB.", Kind.BRIDGE)
SICK = _gauge(
    "brh_system_sick", "1 while a system fails and deliveries are held for it.", Kind.BRIDGE, labels=("system",)
)
HEARD_SECONDS = _gauge(
    "brh_watermark_said_seconds", "How long ago Kafka has acknowledged this bridge's watermarks.", Kind.BRIDGE
)

# Trackers

TRANSACTIONS = _gauge(
    "brh_transactions", "Transactions of this tracker's partitions, by state.", Kind.TRACKER, labels=("state",)
)
OLDEST_SECONDS = _gauge("brh_transactions_oldest_seconds", "Age of the oldest open one; 0 without any.", Kind.TRACKER)
EVENTS = _counter("brh_events", "Records of the events topic that were taken.", Kind.TRACKER, labels=("kind",))
EVENT_SECONDS = _histogram(
    "brh_event_seconds", "What taking one record takes, until its rows are written.", Kind.TRACKER
)
LATE = _gauge("brh_events_late", "Messages for closed transactions since the start: they change nothing.", Kind.TRACKER)
PARKED = _counter("brh_records_parked", "Records that could not be read.", Kind.TRACKER, Kind.DELIVERY)
EFFECTS = _counter("brh_effects", "Effects that were asked for, repetitions included.", Kind.TRACKER, labels=("kind",))
PARTITIONS = _gauge("brh_partitions", "Partitions that this worker has.", Kind.TRACKER, Kind.DELIVERY)
LAG = _gauge(
    "brh_partition_lag",
    "Records of a partition that were not read yet.",
    Kind.TRACKER,
    Kind.DELIVERY,
    labels=("partition",),
)
WATERMARK_SECONDS = _gauge(
    "brh_watermark_age_seconds",
    "How far behind now a partition's watermark is: nothing is judged late that came after it.",
    Kind.TRACKER,
    labels=("partition",),
)
RECOVERING = _gauge("brh_recovering", "1 while tables are being read from their changelogs.", Kind.TRACKER)
TABLE_ROWS = _gauge("brh_table_rows", "Rows of a table.", Kind.TRACKER, labels=("table",))

# Deliveries

IN_FLIGHT = _gauge("brh_deliveries_in_flight", "Effects that are being carried out.", Kind.DELIVERY)
ATTEMPT_SECONDS = _histogram(
    "brh_delivery_attempt_seconds", "What one attempt to carry an effect out takes.", Kind.DELIVERY, labels=("result",)
)
REFUSED = _counter(
    "brh_deliveries_refused", "Attempts that failed and are asked for again, by code.", Kind.DELIVERY, labels=("code",)
)
OUTCOMES = _counter(
    "brh_outcomes",
    "Outcomes that were told, by the code of their problem.",
    Kind.DELIVERY,
    labels=("transaction_type", "outcome", "code"),
)
RACES_LOST = _counter(
    "brh_outcome_races_lost", "Outcomes that somebody else had written in the meantime.", Kind.DELIVERY
)
DECIDED_SECONDS = _histogram(
    "brh_transaction_decided_seconds",
    "From the first message of a transaction to its outcome.",
    Kind.DELIVERY,
    buckets=_AGES,
    labels=("transaction_type",),
)
TOLD_SECONDS = _histogram("brh_transaction_told_seconds", "From an outcome to its notification.", Kind.DELIVERY)

_types: set[str] = set()


def bounded(transaction_type: str) -> str:
    """The type as a label."""
    if transaction_type not in _types:
        if len(_types) >= TYPES_MAX:
            return OTHER
        _types.add(transaction_type)
    return transaction_type
