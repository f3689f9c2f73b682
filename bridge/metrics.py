"""Every metric of every process: its name, type, labels and meaning. `docs/metrics.md` is written from this module.

A process has one registry, for its kind (`bridge.registries`). What counts is told by whoever sees it happen, at the
edges: the pure modules know of none of this. Labels have few values; a transaction's id is never one of them, and its
type only up to `TYPES_MAX` different ones, because whoever sends messages chooses it.
"""

from __future__ import annotations

from typing import Final

from bridge.registries import CATALOGUE, OTHER, REGISTRIES, Bounded, Kind, begin, counter, gauge, histogram, timed

__all__ = ["CATALOGUE", "OTHER", "REGISTRIES", "Kind", "begin", "timed"]

TYPES_MAX: Final = 100
"""Transaction types that are told apart unless `BRH_METRICS_TYPES_MAX` says otherwise."""

_AGES: Final = (1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 6 * 3_600.0, 86_400.0, 6 * 86_400.0)
_BY_TYPE: Final = ("transaction_type",)
_RUNS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

transaction_type: Final = Bounded(TYPES_MAX)
"""A transaction's type as a label."""

# Storage and notifications: bridges and deliveries

STORAGE_REQUESTS = counter(
    "brh_storage_requests",
    "Requests to blob storage, attempts that are repeated included; status 0: no answer.",
    Kind.BRIDGE,
    Kind.DELIVERY,
    labels=("operation", "status"),
)
STORAGE_SECONDS = histogram(
    "brh_storage_request_seconds",
    "From a request to the headers of its answer; of those that were answered, and not with 429 or 5xx.",
    Kind.BRIDGE,
    Kind.DELIVERY,
    labels=("operation",),
)
NOTICE_SECONDS = histogram(
    "brh_notice_seconds",
    "From publishing an event on RabbitMQ to its confirmation, where it came.",
    Kind.BRIDGE,
    Kind.DELIVERY,
)

# Bridges

PAYLOADS = counter(
    "brh_intake_payloads",
    "Payloads that were staged, reported and acknowledged; what has come again counts again.",
    Kind.BRIDGE,
    labels=("size_class",),
)
PAYLOAD_BYTES = counter("brh_intake_payload_bytes", "Bytes of their bodies.", Kind.BRIDGE, labels=("size_class",))
HEADERS = counter("brh_intake_headers", "Headers that were kept, reported and acknowledged.", Kind.BRIDGE)
REJECTED = counter(
    "brh_intake_rejected", "Messages that were refused, by the code of the refusal.", Kind.BRIDGE, labels=("code",)
)
STAGE_SECONDS = histogram(
    "brh_intake_stage_seconds",
    "From the first byte of a large payload, or the beginning of a batch of small ones, to its last block in storage; "
    "of those that got there.",
    Kind.BRIDGE,
    labels=("size_class",),
)
BLOCKS_IN_FLIGHT = gauge(
    "brh_intake_blocks_in_flight",
    "Blocks on their way to storage, those that wait for another try included.",
    Kind.BRIDGE,
)
RUN_PAYLOADS = histogram("brh_intake_run_payloads", "Small payloads that share a block.", Kind.BRIDGE, buckets=_RUNS)
FACT_SECONDS = histogram(
    "brh_intake_fact_seconds",
    "From publishing a fact to the acknowledgement of all in-sync replicas, where it came.",
    Kind.BRIDGE,
)
FACTS_FAILED = counter(
    "brh_intake_facts_failed", "Facts that Kafka did not acknowledge; each is repeated.", Kind.BRIDGE
)
LANES_OPEN = gauge("brh_lanes_open", "Lanes that are consuming.", Kind.BRIDGE, labels=("queue",))
LANES_CLOSED = counter(
    "brh_lanes_closed", "Lanes that have ended; each is opened again.", Kind.BRIDGE, labels=("queue",)
)
UNSETTLED = gauge(
    "brh_lanes_unsettled",
    "Messages in hand: delivered, and neither acknowledged nor refused.",
    Kind.BRIDGE,
    labels=("queue",),
)
UNSETTLED_SECONDS = gauge(
    "brh_lanes_unsettled_seconds",
    "How long the oldest message has been in hand; RabbitMQ closes the channel at its consumer timeout.",
    Kind.BRIDGE,
    labels=("queue",),
)
QUEUE_MESSAGES = gauge(
    "brh_queue_messages", "Messages that wait, as the broker said last.", Kind.BRIDGE, labels=("queue",)
)
MEMORY_BYTES = gauge("brh_memory_held_bytes", "Granted for bodies.", Kind.BRIDGE)
MEMORY_LIMIT_BYTES = gauge("brh_memory_limit_bytes", "That may be granted: BRH_MEMORY_MB.", Kind.BRIDGE)
SICK = gauge(
    "brh_system_sick", "1 while a system fails and deliveries are held for it.", Kind.BRIDGE, labels=("system",)
)
HEARD_SECONDS = gauge(
    "brh_watermark_said_seconds", "How long ago Kafka has acknowledged this bridge's watermarks.", Kind.BRIDGE
)

# Trackers

TRANSACTIONS = gauge(
    "brh_transactions",
    "Transactions of this tracker's partitions, by state; absent until all of them are known after a recovery.",
    Kind.TRACKER,
    labels=("state",),
)
OPEN = gauge(
    "brh_transactions_open",
    "Open ones, by type (`default` until the header tells it) and state; absent like those.",
    Kind.TRACKER,
    labels=("transaction_type", "state"),
)
OLDEST_SECONDS = gauge(
    "brh_transactions_oldest_seconds",
    "Age of the oldest open one of a type; absent without any, and like those.",
    Kind.TRACKER,
    labels=_BY_TYPE,
)
SENDING_SECONDS = gauge(
    "brh_transactions_sending_seconds",
    "How long the oldest verdict of a type has waited to be delivered; absent where none does, and like those.",
    Kind.TRACKER,
    labels=_BY_TYPE,
)
EVENTS = counter("brh_events", "Records of the events topic that were taken.", Kind.TRACKER, labels=("kind",))
EVENT_SECONDS = histogram(
    "brh_event_seconds", "What taking one record takes, until its rows are written.", Kind.TRACKER
)
GAPS = counter("brh_gaps", "Times that something was noticed to be missing.", Kind.TRACKER, labels=_BY_TYPE)
DUPLICATES = counter(
    "brh_messages_duplicate",
    "Messages that repeat what is known of an open transaction.",
    Kind.TRACKER,
    labels=_BY_TYPE,
)
CONFLICTS = counter(
    "brh_transactions_conflicting",
    "Transactions whose messages have come to contradict each other.",
    Kind.TRACKER,
    labels=_BY_TYPE,
)
CONFLICTING_FACTS = counter(
    "brh_conflicts",
    "Facts that contradict what came before them, by code; a run of payloads counts once, a repetition again.",
    Kind.TRACKER,
    labels=("transaction_type", "code"),
)
LATE = counter(
    "brh_messages_late", "Messages for closed transactions: they change nothing.", Kind.TRACKER, labels=_BY_TYPE
)
PARKED = counter("brh_records_parked", "Records that could not be read.", Kind.TRACKER, Kind.DELIVERY)
EFFECTS = counter("brh_effects", "Effects that were asked for, repetitions included.", Kind.TRACKER, labels=("kind",))
PARTITIONS = gauge("brh_partitions", "Partitions that this worker has.", Kind.TRACKER, Kind.DELIVERY)
LAG = gauge(
    "brh_partition_lag",
    "Records of a partition that were not read yet; absent until Kafka has told where the partition ends.",
    Kind.TRACKER,
    Kind.DELIVERY,
    labels=("partition",),
)
WATERMARK_SECONDS = gauge(
    "brh_watermark_age_seconds",
    "How far behind now a partition's watermark is: nothing is judged late that came after it.",
    Kind.TRACKER,
    labels=("partition",),
)
RECOVERING = gauge("brh_recovering", "1 while tables are being read from their changelogs.", Kind.TRACKER)
RECOVERY_RECORDS = gauge(
    "brh_recovery_records_left",
    "Records of changelogs that a recovery still has to read, as far as known.",
    Kind.TRACKER,
)
RECOVERIES = counter("brh_recoveries", "Times that the tables were recovered.", Kind.TRACKER)
TABLE_OPERATIONS = counter(
    "brh_table_operations",
    "Operations on a table in memory, as Faust counts them.",
    Kind.TRACKER,
    labels=("table", "operation"),
)
TABLE_ROWS = gauge("brh_table_rows", "Rows of a table.", Kind.TRACKER, labels=("table",))

# Faust workers: trackers and deliveries

FLUSH_SECONDS = histogram(
    "brh_flush_seconds",
    "From the beginning of a commit until Kafka has acknowledged every record that was handed over before it.",
    Kind.TRACKER,
    Kind.DELIVERY,
)
RECORDS_SENT = counter(
    "brh_records_sent", "Records for a topic, as Faust counts them.", Kind.TRACKER, Kind.DELIVERY, labels=("topic",)
)
REBALANCES = counter("brh_rebalances", "Rebalances of the group, as this worker saw them.", Kind.TRACKER, Kind.DELIVERY)
ENDED = counter(
    "brh_worker_ended",
    "Times that the worker in this slot has ended itself, by exit code, kept in its folder: 75 and 76 are the fence.",
    Kind.TRACKER,
    Kind.DELIVERY,
    labels=("code",),
)

# Deliveries

IN_FLIGHT = gauge("brh_deliveries_in_flight", "Effects that are being carried out.", Kind.DELIVERY)
ATTEMPT_SECONDS = histogram(
    "brh_delivery_attempt_seconds", "What one attempt to carry an effect out takes.", Kind.DELIVERY, labels=("result",)
)
REFUSED = counter(
    "brh_deliveries_refused", "Attempts that failed and are asked for again, by code.", Kind.DELIVERY, labels=("code",)
)
OUTCOMES = counter(
    "brh_outcomes",
    "Outcomes that were told, by the code of their problem.",
    Kind.DELIVERY,
    labels=("transaction_type", "outcome", "code"),
)
ORPHANS = counter(
    "brh_orphans_told",
    "Transactions of which payloads came that are in no result, and were told to `brh.orphans`.",
    Kind.DELIVERY,
    labels=_BY_TYPE,
)
RACES_LOST = counter("brh_outcome_races_lost", "Outcomes that somebody else had written meanwhile.", Kind.DELIVERY)
OWN_CONFLICTS = counter(
    "brh_outcome_own_conflicts",
    "Outcomes that an earlier attempt of the same request had written, whose answer was lost.",
    Kind.DELIVERY,
)
DECIDED_SECONDS = histogram(
    "brh_transaction_decided_seconds",
    "From the first message of a transaction to its outcome; at least 0, whatever the clocks of two machines say.",
    Kind.DELIVERY,
    buckets=_AGES,
    labels=_BY_TYPE,
)
TOLD_SECONDS = histogram(
    "brh_transaction_told_seconds",
    "From an outcome to its notification; at least 0, whatever the clocks of two machines say.",
    Kind.DELIVERY,
    labels=_BY_TYPE,
)
COMMIT_SECONDS = histogram(
    "brh_transaction_commit_seconds",
    "What committing all parts of a transaction takes in one attempt, those included that are found committed; "
    "of attempts that got through.",
    Kind.DELIVERY,
    labels=_BY_TYPE,
)

# Every process

TASKS = gauge("brh_tasks", "Tasks of the event loop that are not done.", *Kind)
