"""The tracker: `faust -A streams.app worker`. Its tables, its agent and its clock; everything else is imported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from bridge import metrics, tracing
from bridge.blobs import Blobs
from bridge.contract import events
from bridge.crash_points import crash_point
from bridge.logs import refuse
from bridge.settings import SettingsError, load
from bridge.surroundings import look_around
from streams import api
from streams.archive import LOOKS_IN_FLIGHT, Archive
from streams.assemble import Assembler
from streams.counted import begin_type
from streams.hardened import HardenedApp, drop_ghosts
from streams.measured import TrackerLook, serve_metrics
from streams.parking import Origin, park
from streams.record import Record, moment
from streams.routing import NotReady
from streams.settings import TrackerSettings
from streams.surroundings import of_tracker
from streams.topics import Topics
from streams.traced import Gathered, about, fact_taken, trace_with
from streams.types_file import load_policies
from streams.worker import raw_topic, worker_options
from tables import effects
from tables.receipts import transaction_of

try:
    settings = load(TrackerSettings)
    policies = load_policies(settings.types_file)
except SettingsError as error:
    refuse("tracker", error)

COMMAND_ACK_S: Final = 8.0
"""How long Kafka may take to acknowledge a command: with the question to the owner less than callers wait."""

_log = structlog.get_logger()

topics = Topics(settings.namespace, settings.partitions)
app = HardenedApp(
    topics.tracker_group,
    # Faust writes text keys as JSON.
    row_partition=lambda key: topics.partition_of(transaction_of(msgspec.json.decode(key, type=str))),
    partitions=topics.of_tracker,
    fenced={topics.deliveries},  # what it asks of an effect is judged from rows that only an owner has
    store=settings.store,
    refusal=partial(look_around, profile=settings.profile, looks=of_tracker(settings, topics)),
    **worker_options(settings, topics.tracker_group, settings.api_bind, settings.api_url, process="tracker"),
)
events_topic = raw_topic(app, topics.events, settings.partitions)
deliveries_topic = raw_topic(app, topics.deliveries, settings.partitions)
parked_topic = raw_topic(app, topics.parked, 1)

receipts = app.Table(
    "receipts",
    partitions=settings.partitions,
    key_type=str,
    help="One immutable row for each fact: the truth about open transactions.",
)
transactions = app.Table(
    "transactions",
    partitions=settings.partitions,
    key_type=str,
    help="One readable row for each transaction: a view of the receipts.",
)


gathered = Gathered()


class _TopicsOutbox:
    """Records leave through Faust's producer, which is flushed before the offset of their event is committed."""

    def deliver(self, effect: effects.Effect) -> None:
        partition = topics.partition_of(effect.transaction)
        key, value = effect.transaction.encode(), effects.encode(effect)
        if len(value) > effects.EFFECT_MAX_BYTES:
            # `tables.limits` keeps every plan below. One that is not would end worker after worker, so it stays here.
            _log.error("an effect is too large to be asked for", transaction=effect.transaction, bytes=len(value))
            return
        if isinstance(effect, effects.Deliver):
            tracing.link(gathered.take(key))
        deliveries_topic.send_soon(key=key, value=value, partition=partition, headers=tracing.carried())
        metrics.EFFECTS.labels(type(effect).__name__).inc()
        crash_point("tracker.effect-sent")

    def park(self, record: Record, reason: str) -> None:
        park(parked_topic, Origin(topics.events, record.partition, record.offset), record.key, record.value, reason)
        crash_point("tracker.record-parked")


def owned_partitions() -> Set[int]:
    """The partitions of the events topic that the group has given to this worker."""
    return {tp.partition for tp in app.consumer.assignment() if tp.topic == topics.events}


for _name in ("default", *policies.types):
    begin_type(_name)
assembler = Assembler(receipts, transactions, _TopicsOutbox(), owned_partitions, settings, policies)


def _drop_ghosts(table: Any) -> None:
    mine = owned_partitions()
    drop_ghosts(table, lambda key: topics.partition_of(transaction_of(key)) in mine)


@receipts.on_recover
async def _rebuild_index() -> None:
    _drop_ghosts(receipts)
    metrics.RECOVERIES.inc()
    crash_point("tracker.rows-recovered")
    assembler.forget()


@transactions.on_recover
async def _drop_views() -> None:
    _drop_ghosts(transactions)
    crash_point("tracker.views-recovered")


@app.agent(events_topic)
async def assemble(stream: Any) -> None:
    """Every event of the partitions this worker owns, one after the other."""
    async for event in stream.events():
        message = event.message
        about(message.key)
        crash_point("tracker.record-read")
        with metrics.timed(metrics.EVENT_SECONDS), fact_taken(message, gathered):
            record = Record(message.partition, message.offset, moment(message.timestamp), message.key, message.value)
            assembler.take(record)
        crash_point("tracker.record-taken")
        about(None)


@app.timer(settings.tick_interval_s)  # type: ignore[untyped-decorator]  # Faust's timer is not typed
async def clock() -> None:
    """Tables may be written by an agent only, so what time brings is an event like any other."""
    if app.rebalancing or app.in_recovery:
        return
    tick = events.encode(events.Tick(at=datetime.now(UTC)))
    for partition in sorted(owned_partitions()):
        if assembler.wants_tick(partition):
            events_topic.send_soon(key=b"", value=tick, partition=partition)
            crash_point("tracker.tick-sent")


async def publish_command(command: events.Command) -> None:
    """A fact of the transaction like those of bridges. Raises NotReady."""
    partition = topics.partition_of(command.transaction)
    key, value = command.transaction.encode(), events.encode(command)
    sent = events_topic.send_soon(key=key, value=value, partition=partition, headers=tracing.carried())
    crash_point("tracker.command-sent")
    # Not awaited itself, because whoever gives up on an await cancels the record, and that ends the process.
    done, _ = await asyncio.wait({sent}, timeout=COMMAND_ACK_S)
    if not done:
        raise NotReady(
            f"Kafka has not acknowledged the command {command.id}, which may still happen; "
            f"the same again with `Idempotency-Key: {command.id}` counts once"
        )
    crash_point("tracker.command-published")


def _container() -> Callable[[], AbstractAsyncContextManager[Blobs]] | None:
    """How to connect to the storage account, if there is one in the settings: only outcomes are read from it."""
    if not settings.blob_connection_string and not settings.blob_account_url:
        return None

    def connect() -> AbstractAsyncContextManager[Blobs]:
        from bridge.azure_blobs import AzureBlobs  # takes a while, and few ask for what is forgotten

        return AzureBlobs(settings, connections_max=LOOKS_IN_FLIGHT)

    return connect


trace_with(app, settings, "brh-tracker", settings.worker_id)
look = TrackerLook(app, topics.events, owned_partitions, assembler.partition)
serve_metrics(app, look)
api.mount(app, transactions, topics, assembler, publish_command, settings, Archive(_container()))
