"""Traces of what is done for a transaction, where `BRH_OTEL_ENDPOINT` names a collector; elsewhere they cost nothing.

Messages and records carry between processes where in the W3C trace context (`Trace`) they come from. What a producer
says in `traceparent` is followed, its decision to sample included. A transaction of which no producer says anything has
a trace of its own, with an id that is made from the transaction's: so whoever works for it comes to the same trace.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from structlog.contextvars import bound_contextvars

from bridge.contract.inbound import Trace

if TYPE_CHECKING:
    from bridge.settings import TracingSettings
    from bridge.spans import Spans

WITHIN: Final = Trace()
"""No trace of its own."""
LINKS_MAX: Final = 32
"""Of one span. Where more come together, these show the rest what they look like."""
STOP_MAX_S: Final = 5.0
"""That a process which ends waits for its spans: one batch that nobody takes, and one that is taken. For all that may
wait to be sent it would take eight times as long as for one, and whoever stops processes does not wait for ever."""
_SAMPLED: Final = 1


class _Process:
    spans: Spans | None = None


class Step(StrEnum):
    """What is traced; the strings are the names of spans."""

    HEADER = "brh.header"
    """From the whole header to the acknowledgement of its fact."""
    STAGE = "brh.stage"
    """From the first byte of a large payload, or the beginning of a batch of small ones, likewise."""
    ADVANCE = "brh.advance"
    """Taking one fact into the tables. It is linked with those that it comes together with, when it asks for the
    outcome."""
    CARRY_OUT = "brh.carry-out"
    """One attempt to do what the tracker asks for."""
    ASSEMBLE = "brh.assemble"
    """Committing the blobs of a result, within the attempt."""
    NOTIFY = "brh.notify"
    """Telling those who wait, within the attempt."""
    COMMAND = "brh.command"
    """From what somebody has asked for over the API to the acknowledgement of its fact."""


class Note(StrEnum):
    """What a span says of its work; the strings are the names of its attributes."""

    TRANSACTION = "brh.transaction"
    SERIES = "brh.series"
    ORDINAL = "brh.ordinal"
    PAYLOADS = "brh.payloads"
    BYTES = "brh.bytes"
    EFFECT = "brh.effect"
    OUTCOME = "brh.outcome"
    CODE = "brh.code"
    ACTION = "brh.action"


Notes: TypeAlias = Mapping[Note, str | int]


def start(settings: TracingSettings, service: str, instance: str) -> None:
    """Begin to trace, if there is a collector. `service` and `instance` name the process."""
    if settings.otel_endpoint:
        from bridge.spans import Spans  # 10 MiB that nobody else needs

        _Process.spans = Spans(settings.otel_endpoint, settings.trace_share, service, instance)


def stop() -> None:
    """Send what is there, for `STOP_MAX_S` at most, and trace nothing more. It blocks."""
    spans, _Process.spans = _Process.spans, None
    if spans is not None:
        spans.stop()


_BOUND: Final = {
    Note.TRANSACTION: "transaction",
    Note.SERIES: "series",
    Note.ORDINAL: "ordinal",
    Note.EFFECT: "effect",
}
"""What lines that are logged meanwhile are bound to, whether anything is traced or not."""


@contextmanager
def span(step: Step, parent: Trace, said: Notes, links: Iterable[Trace] = ()) -> Iterator[None]:
    """Around some work, with its lines in the log. An exception that leaves the block is named in the span.

    `parent` is what `of` or `received` gives; `WITHIN`: the span that is current.
    """
    with bound_contextvars(**{_BOUND[name]: value for name, value in said.items() if name in _BOUND}):
        if (spans := _Process.spans) is None:
            yield
        else:
            with spans.span(step, parent, said, links):
                yield


async def around(
    step: Step,
    parent: Trace,
    said: Notes,
    work: Coroutine[Any, Any, None],
    links: Iterable[Trace] = (),
) -> None:
    """The same around a coroutine."""
    with span(step, parent, said, links):
        await work


def active() -> bool:
    """Whether anything is traced."""
    return _Process.spans is not None


def say(said: Notes) -> None:
    """Add to what the current span says."""
    if _Process.spans is not None:
        _Process.spans.say(said)


def link(others: Iterable[Trace]) -> None:
    """Link the current span with others that it comes together with."""
    if _Process.spans is not None:
        _Process.spans.link(others)


def of(transaction: str, said: Trace) -> Trace:
    """The trace of a transaction: what its producer said, or one that is made from its id."""
    if said.traceparent is not None or (spans := _Process.spans) is None:
        return said
    made = blake2b(transaction.encode(), digest_size=24).hexdigest()
    flags = _SAMPLED if spans.samples(int(made[:32], 16)) else 0
    return Trace(f"00-{made[:32]}-{made[32:]}-{flags:02x}")


def carried() -> list[tuple[str, bytes]]:
    """What a Kafka record carries of the current span as its headers; nothing without traces."""
    if (spans := _Process.spans) is None:
        return []
    current = spans.current()
    found = (("traceparent", current.traceparent), ("tracestate", current.tracestate))
    return [(name, value.encode()) for name, value in found if value]


def received(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None) -> Trace:
    """What a Kafka record carried. What is malformed is as good as nothing: it must not cost a result."""
    if _Process.spans is None or not headers:
        return WITHIN
    said = dict(headers)
    found = [said.get(name) for name in ("traceparent", "tracestate")]
    return Trace(*(value.decode("ascii", "replace") if value else None for value in found))
