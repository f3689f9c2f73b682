"""A trace leads from the producer's messages through all processes to those who are told, on the real stack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from bridge.contract.inbound import SMALL_PAYLOAD_BYTES
from tests.support.collector import Collector, SpanSeen
from tests.support.outside import Chunks, assert_completed, header_message, payload_message, publish_messages
from tests.support.world import World, free_port, until

PRODUCER = "b7ad6b7169203331"
"""Id of the span from which the messages of a test come."""

pytestmark = pytest.mark.timeout(240)


def traceparent(trace: str, *, sampled: bool = True) -> str:
    return f"00-{trace}-{PRODUCER}-{'01' if sampled else '00'}"


async def send(world: World, txn: str, chunks: Chunks, parent: str) -> None:
    """The payloads, each by itself and the header behind them, all with the same trace context."""
    payloads = [
        (
            f"{'payload' if len(chunk := chunks.chunk(ordinal)) >= SMALL_PAYLOAD_BYTES else 'small'}.s",
            payload_message(txn, "s", ordinal, chunks.total_count, chunk, traceparent=parent),
        )
        for ordinal in range(1, chunks.total_count + 1)
    ]
    header = header_message(txn, {"series": [{"type": "s"}]}, headers={"traceparent": parent})
    await publish_messages(world, [*payloads, ("header.default", header)])


def told_of(collector: Collector, trace: str) -> dict[str, list[SpanSeen]]:
    """The spans of a trace by name, once a tracker has taken the answer to the delivery."""

    def probe() -> dict[str, list[SpanSeen]] | None:
        found: dict[str, list[SpanSeen]] = {}
        for span in collector.where(lambda span: span.trace == trace):
            found.setdefault(span.name, []).append(span)
        deliveries = {span.id for span in found.get("brh.carry-out", ()) if "brh.outcome" in span.notes}
        return found if any(span.parent in deliveries for span in found.get("brh.advance", ())) else None

    return until(probe, 60, f"all spans of {trace}: {collector.spans}")


async def test_from_the_producer_to_the_notification(make_world: Callable[..., World], tmp_path: Path) -> None:
    with Collector() as collector:
        world = await asyncio.to_thread(make_world, env={"BRH_OTEL_ENDPOINT": collector.url, "BRH_TRACE_SHARE": "0"})
        txn, trace = f"traced-{uuid4().hex[:8]}", uuid4().hex
        chunks = Chunks(txn, [SMALL_PAYLOAD_BYTES, 10, 20, 30])
        await send(world, txn, chunks, traceparent(trace))
        await assert_completed(world, txn, {"s": chunks})
        found = await asyncio.to_thread(told_of, collector, trace)

        (large,) = [span for span in found["brh.stage"] if "brh.ordinal" in span.notes]
        small = [span for span in found["brh.stage"] if "brh.ordinal" not in span.notes]
        (header,) = found["brh.header"]
        assert large.notes == {
            "brh.transaction": txn,
            "brh.series": "s",
            "brh.ordinal": 1,
            "brh.bytes": SMALL_PAYLOAD_BYTES,
        }
        assert sum(span.notes["brh.payloads"] for span in small) == 3
        staged = {span.id for span in [large, *small, header]}
        assert {span.parent for span in [large, *small, header]} == {PRODUCER}
        assert {span.service for span in [large, *small, header]} == {"brh-bridge"}

        facts = [span for span in found["brh.advance"] if span.parent in staged]
        assert len(facts) >= len(staged), "one for each fact"
        (delivery,) = [span for span in found["brh.carry-out"] if span.notes["brh.effect"] == "Deliver"]
        assert delivery.notes == {"brh.transaction": txn, "brh.effect": "Deliver", "brh.outcome": "Completed"}
        assert delivery.parent == PRODUCER
        (last,) = [span for span in facts if span.id in delivery.links]
        assert staged <= {*last.links}, "all facts come together in the one that asks for the outcome"
        for name in ("brh.assemble", "brh.notify"):
            assert [(span.service, span.parent) for span in found[name]] == [("brh-delivery", delivery.id)]
        answers = [span for span in found["brh.advance"] if span.parent == delivery.id]
        assert [span.service for span in answers] == ["brh-tracker"]

        failed = f"failed-{uuid4().hex[:8]}"
        trace = uuid4().hex
        parent = traceparent(trace, sampled=False)
        body = b"a body that belongs into no trace"
        messages = [payload_message(failed, "s", 1, 2, text, traceparent=parent) for text in (body, b"another")]
        header_of = header_message(failed, {"series": [{"type": "s"}]}, headers={"traceparent": parent})
        await publish_messages(world, [("header.default", header_of), *(("small.s", each) for each in messages)])
        await asyncio.to_thread(world.wait_state, failed, ["Failed"])
        kept = await asyncio.to_thread(told_of, collector, trace)
        assert {*kept} == {"brh.carry-out", "brh.notify", "brh.advance"}, "delivering is, what came before is not"
        (delivery,) = kept["brh.carry-out"]
        assert delivery.notes["brh.outcome"] == "Failed"
        assert {span.parent for span in kept["brh.advance"]} == {delivery.id}

        secrets = [body, *(value.encode() for value in secrets_of(world))]
        await asyncio.to_thread(world.end_processes)
        assert collector.bodies
        assert not [text for text in secrets for sent in collector.bodies if text in sent]


def test_a_command_is_in_the_trace_of_its_request_and_otherwise_in_that_of_its_transaction(
    make_world: Callable[..., World],
) -> None:
    with Collector() as collector:
        world = make_world(env={"BRH_OTEL_ENDPOINT": collector.url, "BRH_TRACE_SHARE": "1"})
        txn, trace = f"commanded-{uuid4().hex[:8]}", uuid4().hex
        asyncio.run(publish_messages(world, [("header.default", header_message(txn, {"series": [{"type": "s"}]}))]))
        world.wait_state(txn, ["AwaitingResults"])
        (began,) = until(lambda: collector.where(lambda span: span.name == "brh.header"), 30, "the header's span")
        for headers in ({"traceparent": traceparent(trace)}, {"traceparent": "\xff none"}):
            extend(world, txn, headers)

        def told() -> list[tuple[SpanSeen, SpanSeen]]:
            commands = collector.where(lambda span: span.name == "brh.command")
            facts = collector.where(lambda span: span.name == "brh.advance")
            return [(one, fact) for one in commands for fact in facts if fact.parent == one.id]

        by_trace = {one.trace: (one, fact) for one, fact in until(lambda: told()[1:] and told(), 30, "both commands")}
        assert by_trace.keys() == {trace, began.trace}
        for one, fact in by_trace.values():
            assert one.notes == {"brh.transaction": txn, "brh.action": "extend"}
            assert (one.service, fact.trace) == ("brh-tracker", one.trace)
        assert by_trace[trace][0].parent == PRODUCER


def extend(world: World, txn: str, headers: dict[str, str]) -> None:
    body, given = json.dumps({"by": "PT1M"}).encode(), {"Content-Type": "application/json", **headers}
    request = Request(f"{world.api}/v1/transactions/{txn}/extend", body, {**world.access, **given}, method="POST")
    with urlopen(request, timeout=10) as answer:
        assert answer.status == 202


async def test_a_collector_that_is_not_there_is_in_nobodys_way(make_world: Callable[..., World]) -> None:
    env = {"BRH_OTEL_ENDPOINT": f"http://127.0.0.1:{free_port()}", "BRH_TRACE_SHARE": "1"}
    world = await asyncio.to_thread(make_world, env=env)
    txn = f"alone-{uuid4().hex[:8]}"
    chunks = Chunks(txn, [10, 20])
    await send(world, txn, chunks, traceparent(uuid4().hex))
    await assert_completed(world, txn, {"s": chunks})


def secrets_of(world: World) -> list[str]:
    """What stands in the settings and must not be told."""
    settings = world.settings
    key = (settings.blob_connection_string.get_secret_value() if settings.blob_connection_string else "").split(
        "AccountKey="
    )[1]
    return [key.partition(";")[0], world.amqp_url]
