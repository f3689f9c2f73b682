"""What a transaction waits for, in sentences, and the command that helps. Pure, and total: every state has words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, assert_never

import msgspec

from bridge.contract.outbound import Problem, rfc3339
from tables import ordinals
from tables.deadlines import Deadline, deadlines, retry_at
from tables.transaction import Series, State, Transaction

RANGES_SAID_MAX: Final = 20
SERIES_SAID_MAX: Final = 20


class Explanation(msgspec.Struct, frozen=True, rename="camel"):
    """An answer to "why is it not done?"."""

    summary: str
    """One sentence."""
    waiting_for: tuple[str, ...] = ()
    """A sentence for each thing; none when nothing is waited for."""
    command: str | None = None
    """The command line that helps, waits, or gets the result; None where none does."""
    otherwise: tuple[str, ...] = ()
    """What time alone brings, and when, in that order."""
    advice: str | None = None
    """What there is to say of the command."""


def explain(transaction: Transaction, now: datetime) -> Explanation:
    """Where the transaction stands at the moment `now`."""
    match transaction.state:
        case State.AWAITING_RESULTS:
            return _awaiting(transaction, now)
        case State.SENDING_COMPLETION:
            return _sending(transaction, now)
        case State.COMPLETED:
            uri = f": {transaction.settled.outcome_uri}" if transaction.settled else "."
            return Explanation(_closed(transaction) + uri, command=f"brh fetch {transaction.id} --out {transaction.id}")
        case State.FAILED | State.ABANDONED:
            return Explanation(_closed(transaction) + _because(transaction.problem))
        case _:
            assert_never(transaction.state)


def range_text(ranges: Iterable[tuple[int, int]], *, more: bool = False) -> str:
    """Inclusive ranges as people write them, such as `17, 42-90`; `more`: these were not all."""
    text = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return f"{text} and more" if more else text


def _awaiting(transaction: Transaction, now: datetime) -> Explanation:
    header = transaction.header
    names = [spec.type for spec in header.series] if header else sorted(transaction.series)
    known = [(name, transaction.series.get(name, Series())) for name in names]
    incomplete = [(name, series) for name, series in known if not series.complete]
    if header is None:
        arrived = sum(series.received_count for _, series in known)
        summary = f"{transaction.id} has no header yet; {_many(arrived, 'payload')} of {len(known)} series arrived"
    else:
        summary = f"{transaction.id} waits for {len(incomplete)} of its {len(known)} series"
    waiting = [] if header else ["The header, which tells the series to expect."]
    waiting += [_lacks(name, series) for name, series in incomplete[:SERIES_SAID_MAX]]
    if len(incomplete) > SERIES_SAID_MAX:
        waiting.append(f"{len(incomplete) - SERIES_SAID_MAX} more series.")
    if transaction.conflict is not None:
        meaning = "what came first stays" if header else "the header decides what that means"
        often = " more than once" if transaction.conflict_codes else ""
        codes = ", ".join(dict.fromkeys((transaction.conflict.code, *sorted(transaction.conflict_codes))))
        summary += f"; messages contradict each other{often} ({codes}), {meaning}"
    command, advice = f"brh wait {transaction.id}", None
    if any(series.total_count for _, series in incomplete):
        command = f"brh send {transaction.id} --only-missing"
        advice = f"With the same --series as before it sends what is missing; `brh gaps {transaction.id}` names it."
    return Explanation(f"{summary}.", tuple(waiting), command, _otherwise(transaction, now), advice)


def _lacks(name: str, series: Series) -> str:
    if series.total_count is None:
        return f"Series {name}: nothing arrived yet, and its total count is not known."
    missing, more = ordinals.ranges(ordinals.upto(series.total_count) & ~series.received, RANGES_SAID_MAX)
    count = series.total_count - series.received_count
    return f"Series {name}: {count} of {_many(series.total_count, 'payload')}: {range_text(missing, more=more)}."


def _sending(transaction: Transaction, now: datetime) -> Explanation:
    verdict, again = transaction.verdict, retry_at(transaction)
    outcome = verdict.outcome if verdict else "unknown"
    summary = f"{transaction.id} is decided as {outcome}, which is being written and told"
    if again is None:
        waiting = "The answer of the delivery."
    else:
        pause_s = max(0.0, (again - now).total_seconds())
        tries = _many(transaction.refusals, "try", "tries")
        waiting = f"The next try in {pause_s:.0f} s, after {tries}{_because(transaction.problem)}"
    because = _because(verdict.problem if verdict else None)
    command = f"brh retry {transaction.id}" if again or transaction.overdue else f"brh wait {transaction.id}"
    return Explanation(summary + because, (waiting,), command, _otherwise(transaction, now))


def _otherwise(transaction: Transaction, now: datetime) -> tuple[str, ...]:
    found = ((each, _brings(transaction, each)) for each in deadlines(transaction))
    return tuple(f"{rfc3339(each.at)}: {text}{_behind(each, now)}." for each, text in found if text is not None)


def _behind(deadline: Deadline, now: datetime) -> str:
    late = deadline.by_watermark and deadline.at <= now
    return ", as soon as every bridge has reported what was in the queues by then" if late else ""


def _brings(transaction: Transaction, deadline: Deadline) -> str | None:
    match deadline.kind:
        case "header":
            return "abandoned, unless its header comes"
        case "idle":
            return "its gaps are told, unless something new comes"
        case "awaiting" if transaction.header is not None and transaction.limits.on_timeout == "partial":
            return "completed with what there is by then"
        case "awaiting":
            return "abandoned, unless everything has come"
        case "completing":
            return "counts as overdue"
        case "completing-max":
            return "failed, unless it is delivered"
        case "retry" | "keep-alive":
            return None


def _closed(transaction: Transaction) -> str:
    since = f" since {rfc3339(transaction.settled.completed)}" if transaction.settled else ""
    return f"{transaction.id} is {transaction.state.value}{since}"


def _because(problem: Problem | None) -> str:
    return f" ({problem.code}): {problem.detail}" if problem else "."


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
