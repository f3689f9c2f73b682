"""What trackers and deliveries trace, and how it hangs together: many facts, one outcome."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import faust
from structlog.contextvars import bind_contextvars, unbind_contextvars

from bridge import tracing
from bridge.contract.events import Command
from bridge.contract.inbound import Trace
from bridge.settings import TracingSettings
from bridge.tracing import LINKS_MAX, WITHIN, Note, Notes, Step
from tables.effects import Deliver, Effect, KeepAlive

OPEN_MAX: Final = 10_000
"""Transactions of which facts are remembered; of more, those that began first have no links."""


class Gathered:
    """Where the last facts of open transactions stand in their traces, until an outcome is asked for.

    Only in memory: what a new owner does not know is not linked.
    """

    def __init__(self) -> None:
        self._facts: dict[bytes, deque[Trace]] = {}

    def add(self, transaction: bytes, fact: Trace) -> None:
        """A fact of a transaction."""
        if transaction not in self._facts:
            if len(self._facts) >= OPEN_MAX:
                del self._facts[next(iter(self._facts))]
            self._facts[transaction] = deque(maxlen=LINKS_MAX)
        self._facts[transaction].append(fact)

    def take(self, transaction: bytes) -> Iterable[Trace]:
        """Its last facts, which are not asked for again."""
        return self._facts.pop(transaction, ())


def about(key: bytes | None) -> None:
    """Lines of the log that this task writes from here on are of the transaction that is the key of a record.

    Of none where there is no key. Unlike a span's, they stay so when an exception ends the work: the line that tells
    of it needs them most.
    """
    if key:
        bind_contextvars(transaction=key.decode(errors="backslashreplace"))
    else:
        unbind_contextvars("transaction")


def fact_taken(message: Any, gathered: Gathered) -> AbstractContextManager[None]:
    """Around taking a record of the events topic, as Faust gives it; one without a key is of no transaction."""
    fact = tracing.received(message.headers)
    if fact == WITHIN or not message.key:
        return nullcontext()
    gathered.add(message.key, fact)
    return tracing.span(Step.ADVANCE, fact, {Note.TRANSACTION: message.key.decode("utf-8", "replace")})


def carried_out(effect: Effect, message: Any) -> AbstractContextManager[None]:
    """Around carrying out an effect, from a record of the deliveries topic."""
    said = {Note.TRANSACTION: effect.transaction, Note.EFFECT: type(effect).__name__}
    if isinstance(effect, Deliver):
        said[Note.OUTCOME] = effect.outcome
    own = WITHIN if isinstance(effect, KeepAlive) else effect.trace
    parent = tracing.of(effect.transaction, own)
    return tracing.span(Step.CARRY_OUT, parent, said, links=[tracing.received(message.headers)])


def commanded(command: Command, caller: Trace) -> AbstractContextManager[None]:
    """Around having a command carried out: in the caller's trace, or in that of the transaction."""
    said: Notes = {Note.TRANSACTION: command.transaction, Note.ACTION: command.action}
    return tracing.span(Step.COMMAND, tracing.of(command.transaction, caller), said)


def trace_with(app: faust.App, settings: TracingSettings, service: str, instance: str) -> None:
    """Trace for as long as this Faust worker lives."""
    tracing.start(settings, service, instance)

    @app.on_before_shutdown.connect(weak=False)
    async def _stop(*_: object, **__: object) -> None:
        await asyncio.to_thread(tracing.stop)
