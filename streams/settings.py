"""Settings of the tracker, the delivery and the command line."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from bridge.binds import Bind
from bridge.metrics import TYPES_MAX
from bridge.settings import (
    AmqpSettings,
    BlobSettings,
    FactSettings,
    InstanceSettings,
    KafkaSettings,
    LogSettings,
    TracingSettings,
    WatermarkSettings,
)
from streams.api_settings import ApiSettings, ApiTokens

RESULT_RETENTION_MIN_S: Final = 15 * 86_400.0
"""One day more than the events topic keeps its records: a duplicate that is as late as that must find the outcome, or
it would open the transaction again."""


def _retention(seconds: float) -> float:
    """0, which is never, or at least 15 days."""
    if seconds and seconds < RESULT_RETENTION_MIN_S:
        raise ValueError(
            f"must be 0, which is never, or at least {RESULT_RETENTION_MIN_S:.0f} (15 days): events are kept for 14, "
            "and a late duplicate must find the outcome"
        )
    return seconds


def _stall(seconds: float, others: ValidationInfo) -> float:
    """At least two of BRH_SESSION_TIMEOUT_S."""
    session_s = others.data.get("session_timeout_s", 0.0)
    if seconds < 2 * session_s:
        raise ValueError(f"must be at least {2 * session_s:g}, two of BRH_SESSION_TIMEOUT_S: a group waits that long")
    return seconds


def _attempt(seconds: float, others: ValidationInfo) -> float:
    """Below BRH_STALL_MAX_S without BRH_PRODUCE_TIMEOUT_S."""
    allowed_s = others.data.get("stall_max_s", inf) - others.data.get("produce_timeout_s", 0.0)
    if seconds >= allowed_s:
        raise ValueError(
            f"must be below {allowed_s:g}, which is BRH_STALL_MAX_S without BRH_PRODUCE_TIMEOUT_S: a delivery that "
            "takes its time would look like a worker that stands still"
        )
    return seconds


class WorkerSettings(InstanceSettings, KafkaSettings, TracingSettings, LogSettings):
    """What both kinds of Faust worker need."""

    worker_id: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,64}$")
    """Stable name of this worker slot: with one, a worker that was killed and started again is ready in seconds
    instead of after a session timeout (static membership). Empty: none."""
    data_dir: Path = Path(".brh/data")
    """Each worker makes its own folder in it."""
    session_timeout_s: float = Field(15, ge=6, le=300)
    """How long a worker may be silent before its partitions go to others."""
    frozen_session_share: float = Field(0.5, ge=0.2, le=0.7)
    """Of a session: a process that stood still for longer ends itself. Its last heartbeat before may be a fifth of a
    session old, and both together have to be less than a session."""
    fence_session_share: float = Field(0.8, ge=0.5, le=0.9)
    """Of a session: when the last accepted heartbeat is older, a worker sends no row and no effect and ends itself.
    Heartbeats come five times in a session, so a few may be lost; the rest of it is for the record's way to the broker
    before others get the partitions."""
    stall_max_s: Annotated[float, AfterValidator(_stall)] = Field(600, ge=120, le=14_400, validate_default=True)
    """A worker that makes no progress for longer, while events or a recovery wait for it or Kafka does not answer, ends
    itself. Longer than what may take long and is none: a rebalance, a dead member's session twice, one delivery."""
    partition_stall_max_s: float = Field(3_600, ge=120, le=86_400)
    """The same for one partition while the others make progress: longer than one that has to catch up keeps the others
    waiting."""
    metrics_types_max: int = Field(TYPES_MAX, ge=1, le=1_000)
    """Transaction types that metrics tell apart; those that a process meets later are `other`. Producers choose types,
    and each one is some thirty time series."""
    recovery_quiet_s: float = Field(3, ge=1, le=60)
    """When a recovery stands still for so long, it is found out whether what it waits for is there at all. Longer than
    the pauses between two batches of records."""


class TrackerSettings(WorkerSettings, WatermarkSettings, BlobSettings, ApiSettings):
    """The tracker process. Of storage it reads only outcomes that it has forgotten; without it, these are unknown."""

    store: Literal["memory://"] = "memory://"
    """Where a tracker keeps its tables; they are replayed from Kafka whenever it starts."""
    tick_interval_s: float = Field(1, ge=0.1, le=60)
    """How often a partition with work to do hears its own clock."""
    redrive_interval_s: float = Field(15, ge=1, le=3_600)
    """A delivery without an answer is asked for again after this long: longer than nearly every delivery takes."""
    row_interval_s: float = Field(1, ge=0, le=60)
    """How often the readable row of a transaction is written while payloads arrive; changes of state at once."""
    open_max: int = Field(20_000, ge=1, le=1_000_000)
    """Open transactions of one partition. One that begins beyond it is Failed (`too-many-open`), unless it is complete
    at once: a producer that begins transactions without end would take the tracker's memory, a few KiB for each, from
    all others."""
    types_file: Path | None = None
    """TOML with the limits of each transaction type; see `streams.types_file`. None: the defaults for all."""
    dedupe_retention_s: float = Field(14 * 86_400, ge=1, le=366 * 86_400)
    """How long a closed transaction is remembered. Not shorter than the events topic keeps its records, or a replay
    could open a transaction again; the outcome document would still close it without telling anybody twice."""


class DeliverySettings(WorkerSettings, AmqpSettings, BlobSettings):
    """The delivery process."""

    delivery_bind: Bind = "127.0.0.1:6067"
    """Where the delivery tells how it is: /livez, /readyz, /version, /metrics, and nothing else. It may be any address,
    such as 0.0.0.0:6067 for a Prometheus on another machine: see BRH_BRIDGE_BIND."""
    deliveries_in_flight: int = Field(16, ge=1, le=256)
    """Transactions that are delivered at once; a slow one occupies one of them."""
    delivery_attempt_s: Annotated[float, AfterValidator(_attempt)] = Field(300, ge=5, le=3_600, validate_default=True)
    """How long one attempt may take before it counts as refused and the tracker asks again."""
    commits_in_flight: int = Field(4, ge=1, le=64)
    """Parts of one transaction that are committed at once."""
    result_retention_s: Annotated[float, AfterValidator(_retention)] = Field(0, ge=0)
    """Results are removed this long after their outcome; 0: never."""
    sweep_interval_s: float = Field(900, ge=0.1, le=86_400)
    """Between two runs over the container."""
    sweep_untold_s: float = Field(900, ge=1, le=86_400)
    """An outcome that nobody was told of for this long is told by the sweep: far longer than a delivery takes."""
    sweep_forgotten_s: float = Field(13 * 86_400, ge=86_400, le=366 * 86_400)
    """A transaction without an outcome is reported when nothing was written for this long: one day more than the
    longest that one may wait and then be delivered."""
    sweep_page_blobs: int = Field(5_000, ge=1, le=5_000)
    """Blobs in one request for the list."""
    sweep_pages_max: int = Field(200, ge=1, le=100_000)
    """Pages in one run; the next run goes on behind them."""
    sweep_actions_max: int = Field(1_000, ge=1, le=1_000_000)
    """Transactions that one run does something to; those behind them wait until the list comes round."""
    sweeps_in_flight: int = Field(4, ge=1, le=64)
    """Transactions that the sweep works on at once."""


class ClientSettings(FactSettings, AmqpSettings, BlobSettings, ApiTokens):
    """The command line."""

    api_url: str = "http://127.0.0.1:6066"
    """Of any tracker."""
    dedupe_retention_s: float = Field(14 * 86_400, ge=1, le=366 * 86_400)
    """As the trackers have it: a closed transaction without a row is wrong until then."""
