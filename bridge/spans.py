"""OpenTelemetry behind `bridge.tracing`: spans, a sampler, and their way to the collector in a thread of its own.

Nothing here keeps work waiting, and nothing of it fails: what the collector does not take in time is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes, AttributeValue

from bridge.contract.inbound import Trace
from bridge.tracing import LINKS_MAX, STOP_MAX_S, Note, Notes, Step

EXPORT_TIMEOUT_S: Final = 3.0
"""For one batch, attempts that are repeated included."""
QUEUE_SPANS: Final = 4_096
"""That wait to be sent. About 1 KiB each; more are dropped."""
BATCH_SPANS: Final = 512
ATTRIBUTE_CHARS: Final = 256
"""Longer texts are cut: an id has at most 128 characters."""
FAILURES: Final = frozenset({"Failed", "Abandoned"})

_KINDS: Final = {
    Step.HEADER: SpanKind.CONSUMER,
    Step.STAGE: SpanKind.CONSUMER,
    Step.ADVANCE: SpanKind.CONSUMER,
    Step.CARRY_OUT: SpanKind.CONSUMER,
    Step.NOTIFY: SpanKind.PRODUCER,
    Step.COMMAND: SpanKind.SERVER,
}
_context: Final = TraceContextTextMapPropagator()


class KeepFailures(Sampler):
    """Keeps whatever is done for an outcome that is Failed or Abandoned; of the rest another one decides."""

    def __init__(self, rest: Sampler) -> None:
        self._rest = rest

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As OpenTelemetry asks."""
        if attributes and attributes.get(Note.OUTCOME) in FAILURES:
            state = trace.get_current_span(parent_context).get_span_context().trace_state
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)
        return self._rest.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """As OpenTelemetry asks."""
        return f"KeepFailures({self._rest.get_description()})"


class Spans:
    """The spans of this process."""

    def __init__(self, endpoint: str, share: float, service: str, instance: str) -> None:
        """`share` of the transactions whose producers leave it to us are traced."""
        self._bound = TraceIdRatioBased.get_bound_for_rate(share)
        self._provider = TracerProvider(
            sampler=KeepFailures(ParentBased(TraceIdRatioBased(share))),
            resource=Resource(
                {
                    "service.name": service,
                    "service.instance.id": instance,
                    "service.version": version("big-result-handler"),
                }
            ),
            span_limits=SpanLimits(max_links=LINKS_MAX, max_span_attribute_length=ATTRIBUTE_CHARS),
            shutdown_on_exit=False,
        )
        self._exporter = exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, max_export_batch_size=BATCH_SPANS)
        )
        self._tracer = self._provider.get_tracer("big-result-handler")

    def samples(self, trace_id: int) -> bool:
        """Whether a trace that begins with us is kept, as the sampler has it."""
        return (trace_id & TraceIdRatioBased.TRACE_ID_LIMIT) < self._bound

    @contextmanager
    def span(self, step: Step, parent: Trace, said: Notes, links: Iterable[Trace]) -> Iterator[None]:
        """As `bridge.tracing.span`."""
        with self._tracer.start_as_current_span(
            step,
            context=_read(parent) if parent.traceparent else None,  # None: within the one that is current
            kind=_KINDS.get(step, SpanKind.INTERNAL),
            attributes=_attributes(said),
            links=_links(links),
            record_exception=False,  # with its text, that may hold what is foreign
            set_status_on_exception=False,
        ) as current:
            try:
                yield
            except BaseException as error:
                current.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def current(self) -> Trace:
        """Where the current span stands."""
        carrier: dict[str, str] = {}
        _context.inject(carrier)
        return Trace(carrier.get("traceparent"), carrier.get("tracestate"))

    def say(self, said: Notes) -> None:
        """As `bridge.tracing.say`."""
        trace.get_current_span().set_attributes(_attributes(said))

    def link(self, others: Iterable[Trace]) -> None:
        """As `bridge.tracing.link`."""
        current = trace.get_current_span()
        for each in _links(others):
            current.add_link(each.context)

    def stop(self) -> None:
        """As `bridge.tracing.stop`."""
        # It sends batch after batch, each for as long as one may take; its own bound is 30 s and cannot be set.
        sending = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        sending.start()
        sending.join(STOP_MAX_S)
        if sending.is_alive():
            # What it still tries is given up.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the exporter's is not typed


def _read(said: Trace) -> Context:
    carrier = {"traceparent": said.traceparent or "", "tracestate": said.tracestate or ""}
    return _context.extract(carrier, Context())


def _links(others: Iterable[Trace]) -> list[Link]:
    found = (trace.get_current_span(_read(each)).get_span_context() for each in others if each.traceparent)
    return [Link(context) for context in found if context.is_valid][:LINKS_MAX]


def _attributes(said: Notes) -> dict[str, AttributeValue]:
    return {str(name): value for name, value in said.items()}
