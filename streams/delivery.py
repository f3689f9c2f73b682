"""The delivery: `faust -A streams.delivery worker`. Takes effects, carries them out, reports what came of them.

It is a second app in a group of its own, because it waits: for storage, for confirmations. Its stream is read without
Faust's own acknowledgements; `Window` gives them, in order, when the work of each effect is done.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from faust.types.tuples import TP

from bridge import tracing
from bridge.azure_blobs import AzureBlobs
from bridge.contract import events
from bridge.contract.outbound import CloudEvent
from bridge.crash_points import crash_point
from bridge.logs import refuse
from bridge.notices import Notices
from bridge.settings import SettingsError, load
from bridge.surroundings import look_around
from streams.courier import Courier
from streams.hardened import EXIT_AGENT, HardenedApp, end_process
from streams.health import DeliveryHealth
from streams.measured import WorkerLook
from streams.parking import Origin, park
from streams.post import Post
from streams.settings import DeliverySettings
from streams.surroundings import of_delivery
from streams.sweep import Sweeper
from streams.topics import Topics
from streams.traced import about, carried_out, trace_with
from streams.window import Window
from streams.worker import raw_topic, worker_options
from tables import effects

try:
    settings = load(DeliverySettings)
except SettingsError as error:
    refuse("delivery", error)

topics = Topics(settings.namespace, settings.partitions)
app = HardenedApp(
    topics.delivery_group,
    # A rebalance need not wait for deliveries in hand: whoever gets the partition finds out what is done already.
    stream_wait_empty=False,
    partitions={topics.deliveries: topics.partitions, topics.events: topics.partitions},
    refusal=partial(look_around, profile=settings.profile, looks=of_delivery(settings, topics)),
    **worker_options(settings, topics.delivery_group, settings.delivery_bind, process="delivery"),
)
deliveries_topic = raw_topic(app, topics.deliveries, settings.partitions)
events_topic = raw_topic(app, topics.events, settings.partitions)
outcomes_topic = raw_topic(app, topics.outcomes, settings.partitions)
parked_topic = raw_topic(app, topics.parked, 1)

window = Window(
    settings.deliveries_in_flight,
    fail=lambda error: end_process(EXIT_AGENT, f"a delivery failed: {error!r}", error),
)


trace_with(app, settings, "brh-delivery", settings.worker_id)
health = DeliveryHealth(app)
health.serve(WorkerLook(app, topics.deliveries))


@app.on_partitions_revoked.connect
async def _forget(*_: Any, **__: Any) -> None:
    window.forget()


@app.agent(deliveries_topic)
async def deliver(stream: Any) -> None:
    """Every effect of the partitions this worker owns, many at once."""
    name = f"brh delivery {settings.worker_id}".strip()
    async with AzureBlobs(settings) as blobs, Notices(settings.amqp_url, name) as notices:
        courier = Courier(blobs, Post(notices, _publish_outcome, settings.instance), settings)
        sweeper = Sweeper(blobs, courier, settings, owns=_owns, report=_report, fail=_sweep_failed)
        with health.taking():
            async with sweeper:
                async for event in stream.noack().events():
                    await window.put(event.message.partition, partial(_carry_out, courier, event.message), event.ack)


async def _carry_out(courier: Courier, message: Any) -> None:
    about(message.key)
    try:
        effect = effects.decode(message.value or b"")
    except msgspec.DecodeError as error:
        origin = Origin(message.topic, message.partition, message.offset)
        await park(parked_topic, origin, message.key, message.value, str(error))
        crash_point("delivery.record-parked")
        return
    crash_point("delivery.effect-read")
    with carried_out(effect, message):
        answer = await courier.carry_out(effect)
        if answer is not None:
            await _report(answer)
            crash_point("delivery.answered")


async def _report(answer: events.TransactionEvent) -> None:
    await events_topic.send_soon(
        key=answer.transaction.encode(), value=events.encode(answer), headers=tracing.carried()
    )


def _owns(transaction: str) -> bool:
    return TP(topics.deliveries, topics.partition_of(transaction)) in app.consumer.assignment()


def _sweep_failed(error: Exception) -> None:
    end_process(EXIT_AGENT, f"the sweep failed: {error!r}", error)


async def _publish_outcome(transaction: str, event: CloudEvent) -> None:
    await outcomes_topic.send_soon(key=transaction.encode(), value=msgspec.json.encode(event))
