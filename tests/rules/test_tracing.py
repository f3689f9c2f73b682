"""Spans: whose child each is, what of them is kept, and that nothing of it is ever in the way."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from playbook import T1, Playbook, header, payload

from bridge import tracing
from bridge.contract.inbound import Trace
from bridge.settings import TracingSettings
from bridge.spans import QUEUE_SPANS
from bridge.tracing import LINKS_MAX, STOP_MAX_S, WITHIN, Note, Step
from streams.traced import OPEN_MAX, Gathered, carried_out, fact_taken
from tests.support.collector import Collector, SpanSeen
from tests.support.world import free_port, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = Trace(f"00-{TRACE}-b7ad6b7169203331-01", "vendor=1")
UNSAMPLED = Trace(f"00-{TRACE}-b7ad6b7169203331-00", "vendor=1")
MADE = "5278973992ac6a4a055c917b0573302d"
"""The trace of T1 where no producer says anything: of this release and of the one before, in every process."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture
def traced(collector: Collector) -> Iterator[Callable[[], dict[str, SpanSeen]]]:
    """Tracing all; what it gives stops that, and tells the spans by their names."""
    start(collector.url)

    def spans() -> dict[str, SpanSeen]:
        tracing.stop()
        return {span.name: span for span in collector.spans}

    yield spans
    tracing.stop()


def start(url: str, share: float = 1) -> None:
    tracing.start(TracingSettings(otel_endpoint=url, trace_share=share), "brh-test", "one")


def test_without_a_collector_nothing_is_traced_and_nothing_imported() -> None:
    tracing.start(TracingSettings(otel_endpoint=""), "brh-test", "one")
    with tracing.span(Step.STAGE, SAMPLED, {}):
        tracing.say({Note.CODE: "x"})
        tracing.link([SAMPLED])
        assert tracing.carried() == []
    assert tracing.of("T", WITHIN) == WITHIN
    assert tracing.of("T", SAMPLED) == SAMPLED
    assert tracing.received([("traceparent", b"00-x")]) == WITHIN
    code = "import bridge.tracing, bridge.payloads, sys; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_span_is_a_child_of_what_the_producer_said(traced: Callable[[], dict[str, SpanSeen]]) -> None:
    with tracing.span(Step.STAGE, SAMPLED, {Note.TRANSACTION: "T", Note.ORDINAL: 3}):
        carried = tracing.received(tracing.carried())
        with tracing.span(Step.ASSEMBLE, WITHIN, {}):
            pass
    with tracing.span(Step.ADVANCE, carried, {}):
        pass
    found = traced()
    stage = found["brh.stage"]
    assert stage == SpanSeen(
        "brh-test",
        "brh.stage",
        TRACE,
        stage.id,
        "b7ad6b7169203331",
        {"brh.transaction": "T", "brh.ordinal": 3},
        (),
        "",
    )
    assert carried == Trace(f"00-{TRACE}-{stage.id}-01", "vendor=1")
    assert [found[name].parent for name in ("brh.assemble", "brh.advance")] == [stage.id, stage.id]
    assert {span.trace for span in found.values()} == {TRACE}


def test_of_what_no_producer_speaks_of_everybody_has_the_same_trace(
    traced: Callable[[], dict[str, SpanSeen]],
) -> None:
    first, again, other = (tracing.of(name, WITHIN) for name in ("T-1", "T-1", "T-2"))
    assert first == again
    assert first != other
    assert (tracing.of(T1, WITHIN).traceparent or "").split("-")[1] == MADE
    with tracing.span(Step.STAGE, first, {}):
        pass
    assert first.traceparent is not None
    assert traced()["brh.stage"].trace == first.traceparent.split("-")[1]


def test_a_share_of_them_is_kept(collector: Collector) -> None:
    start(collector.url, share=0.25)
    kept = sum((tracing.of(f"T-{number}", WITHIN).traceparent or "").endswith("-01") for number in range(2_000))
    for number in range(200):
        with tracing.span(Step.STAGE, tracing.of(f"T-{number}", WITHIN), {}):
            pass
    said = sum((tracing.of(f"T-{number}", WITHIN).traceparent or "").endswith("-01") for number in range(200))
    tracing.stop()
    assert 400 < kept < 600  # 500 expected, with a deviation of 19
    assert len(collector.spans) == said


@pytest.mark.parametrize("outcome", ["Completed", "Failed", "Abandoned"])
def test_what_fails_is_kept_whatever_the_producer_said(collector: Collector, outcome: str) -> None:
    start(collector.url, share=0)
    with tracing.span(Step.STAGE, UNSAMPLED, {}):
        pass
    with (
        tracing.span(Step.CARRY_OUT, UNSAMPLED, {Note.OUTCOME: outcome}),
        tracing.span(Step.ASSEMBLE, WITHIN, {}),
    ):
        assert tracing.received(tracing.carried()).tracestate == "vendor=1"
    tracing.stop()
    names = {span.name for span in collector.spans}
    assert names == (set() if outcome == "Completed" else {"brh.carry-out", "brh.assemble"})


@pytest.mark.parametrize(("said", "trace"), [(WITHIN, MADE), (UNSAMPLED, TRACE)], ids=["nothing said", "unsampled"])
def test_a_delivery_is_in_the_trace_of_its_transaction_and_linked_with_what_asked_for_it(
    collector: Collector, said: Trace, trace: str
) -> None:
    start(collector.url, share=0)
    (asked,) = (Playbook() >> header(a=1) >> payload("unlisted", 1, of=1)).due()
    message = SimpleNamespace(headers=[("traceparent", (SAMPLED.traceparent or "").encode())])
    with carried_out(replace(asked, trace=said), message):
        pass
    tracing.stop()
    (span,) = collector.spans  # kept, because it failed
    assert (span.name, span.trace, span.links) == ("brh.carry-out", trace, ("b7ad6b7169203331",))
    assert span.notes == {"brh.transaction": T1, "brh.effect": "Deliver", "brh.outcome": "Failed"}


def test_an_exception_is_named_and_its_text_is_not(traced: Callable[[], dict[str, SpanSeen]]) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span(Step.STAGE, SAMPLED, {}):
        raise ValueError("secret")
    found = traced()["brh.stage"]
    assert (found.error, found.notes) == ("ValueError", {})


def test_facts_that_come_together_are_linked(traced: Callable[[], dict[str, SpanSeen]]) -> None:
    gathered = Gathered()
    for number in range(LINKS_MAX + 10):
        gathered.add(b"T", Trace(f"00-{TRACE}-{number + 1:016x}-01"))
    gathered.add(b"T", Trace("no trace context"))
    with tracing.span(Step.ADVANCE, SAMPLED, {}):
        tracing.link(gathered.take(b"T"))
        tracing.link(gathered.take(b"T"))
    last = [f"{number + 1:016x}" for number in range(11, LINKS_MAX + 10)]
    assert [*traced()["brh.advance"].links] == last


def test_facts_of_few_transactions_are_remembered() -> None:
    gathered = Gathered()
    for number in range(OPEN_MAX + 1):
        gathered.add(str(number).encode(), SAMPLED)
    assert not gathered.take(b"0")
    assert [*gathered.take(b"1")] == [SAMPLED]


@pytest.mark.parametrize(
    "headers",
    [None, [], (("traceparent", None),), [("traceparent", b"\xff" * 9)], {"traceparent": b"01-"}, [("x", b"")]],
)
def test_headers_that_say_nothing_do_no_harm(traced: Callable[[], dict[str, SpanSeen]], headers: object) -> None:
    with tracing.span(Step.ADVANCE, tracing.received(headers), {}):  # type: ignore[arg-type]
        pass
    assert traced()["brh.advance"].parent == ""


@pytest.mark.parametrize(("key", "spans"), [(None, 0), (b"", 0), (b"\xff", 1)])
def test_a_record_with_a_key_that_names_nothing_does_no_harm(
    traced: Callable[[], dict[str, SpanSeen]], key: bytes | None, spans: int
) -> None:
    message = SimpleNamespace(key=key, headers=[("traceparent", (SAMPLED.traceparent or "").encode())])
    with fact_taken(message, Gathered()):
        pass
    assert len(traced()) == spans


@pytest.mark.parametrize("silent", [True, False], ids=["never answers", "is not there"])
def test_a_collector_that_does_not_take_them_keeps_nobody_waiting(silent: bool) -> None:
    with Collector(silent=silent) as collector:
        start(collector.url if silent else f"http://127.0.0.1:{free_port()}")
        began_s = time.monotonic()
        for _ in range(1_000):
            with tracing.span(Step.STAGE, SAMPLED, {}):
                pass
        spent_s = time.monotonic() - began_s
        tracing.stop()
        assert spent_s < 5
        assert time.monotonic() - began_s < 20, "a process that ends does not wait for it"


def test_a_process_that_ends_waits_for_a_full_queue_no_longer_than_for_a_few_spans() -> None:
    with Collector(silent=True) as collector:
        start(collector.url)
        for _ in range(QUEUE_SPANS):
            with tracing.span(Step.STAGE, SAMPLED, {}):
                pass
        began_s = time.monotonic()
        tracing.stop()
        assert time.monotonic() - began_s < 5 + 2 * STOP_MAX_S
        until(lambda: not [each for each in threading.enumerate() if each.name == "last-spans"], 10, "nobody sends")


def test_spans_are_sent_while_the_process_lives(collector: Collector) -> None:
    start(collector.url)
    for _ in range(600):
        with tracing.span(Step.STAGE, SAMPLED, {}):
            pass
    until(lambda: len(collector.spans) >= 512, 10, "the first batch has been sent")
    tracing.stop()
    assert len(collector.spans) == 600
