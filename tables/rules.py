"""The life of a transaction, as pure functions over frozen records.

Rules about this file:
1. Everything that decides about a transaction stands here or is called from here, and nowhere else.
2. No clock, no I/O, no framework, no randomness: `now` is an argument, ids are made from what they name.
3. A message that contradicts another one is a value, never an exception; an exception from here is a bug.

Theory of operation. A transaction is the fold of its facts. `advance` takes one fact: it is idempotent (the same fact
again changes no more than a counter), facts of a series commute, and a final state is never left. What came first
stays: a contradiction is kept beside it (`tables.conflicts`), and the policy says whether it fails the transaction.
Time is a fact too: `tables.deadlines` finds out that a limit has passed, and says so once, as a decision that is kept
like what messages say.
A verdict is not an outcome. When everything has arrived, or a contradiction or a limit forbids it ever will, the state
becomes SendingCompletion and `tables.due` asks for a delivery, again and again until the fact `Delivered` says what was
written. That fact wins, whatever the verdict was: another owner may have decided first, and only the outcome document
arbitrates. What is due is computed from the state alone, so an effect that got lost is simply asked for again.

The table below is complete: every state and every fact. Guards choose where it names more than one state: `_judge`
between staying open and SendingCompletion, a command by what it wants, and `Delivered` names the final state itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias, assert_never

from msgspec.structs import replace

from bridge.contract.events import Command, Delivered, DeliveryRefused, HeaderReceived, MessageRefused, Staged, Told
from bridge.contract.inbound import SERIES_MAX
from bridge.contract.outbound import OutcomeCode, Problem, rfc3339
from tables.contents import Contents
from tables.decisions import Decision, Expired, GapNoticed, Overdue
from tables.due import wanted_ids
from tables.effects import delivery_id
from tables.limits import too_many_payloads, too_many_series
from tables.messages import with_header, with_payloads
from tables.missing import lacking
from tables.policies import DEFAULTS, Policies
from tables.problems import not_taken, noted
from tables.transaction import FINAL, Gap, Noted, Ordered, Series, Settled, State, Transaction, Verdict

Fact: TypeAlias = HeaderReceived | Staged | MessageRefused | Delivered | DeliveryRefused | Told | Command | Decision

_AWAITING = frozenset({State.AWAITING_RESULTS})
_SENDING = frozenset({State.SENDING_COMPLETION})
_OPEN = _AWAITING | _SENDING
_STAYING: Final[tuple[type[Fact], ...]] = (
    *(HeaderReceived, Staged, MessageRefused, GapNoticed, Expired, Overdue, Command, Told, DeliveryRefused),
)
"""Facts by which a transaction with a verdict stays as it is."""

TRANSITIONS: Final[dict[State, dict[type[Fact], frozenset[State]]]] = {
    State.AWAITING_RESULTS: {
        HeaderReceived: _OPEN,
        Staged: _OPEN,
        MessageRefused: _AWAITING,
        GapNoticed: _AWAITING,
        Expired: _SENDING,
        Overdue: _AWAITING,
        Command: _OPEN,
        Told: _AWAITING,
        DeliveryRefused: _AWAITING,
        Delivered: FINAL,
    },
    State.SENDING_COMPLETION: {
        **dict.fromkeys(_STAYING, _SENDING),
        Delivered: FINAL,
    },
    **{state: dict.fromkeys((*_STAYING, Delivered), frozenset({state})) for state in FINAL},
}

COMMANDS_MAX: Final = 20


def opened(transaction_id: str, now: datetime, policies: Policies = DEFAULTS) -> Transaction:
    """A transaction of which the first fact has just been heard."""
    return Transaction(id=transaction_id, created=now, updated=now, progressed=now, limits=policies.default)


def advance(transaction: Transaction, fact: Fact, now: datetime, policies: Policies = DEFAULTS) -> Transaction:
    """What is known after a fact; `now` is when the fact was reported."""
    before = transaction.state
    if before in FINAL:
        after = _late(transaction, fact)
    else:
        after = _take(replace(transaction, updated=max(transaction.updated, now)), fact, now, policies)
    assert after.state in TRANSITIONS[before][type(fact)], (before, type(fact), after.state)
    return after


def _late(transaction: Transaction, fact: Fact) -> Transaction:
    messages = fact.count if isinstance(fact, Staged) else int(isinstance(fact, HeaderReceived))
    return replace(transaction, late=transaction.late + messages)


def _take(transaction: Transaction, fact: Fact, now: datetime, policies: Policies) -> Transaction:
    match fact:
        case HeaderReceived():
            return _judge(with_header(transaction, fact, now, policies), now)
        case Staged():
            return _judge_payloads(transaction, with_payloads(transaction, fact, now), fact.series, now)
        case MessageRefused():
            return not_taken(transaction, fact.problem)
        case GapNoticed() | Expired() | Overdue():
            return _decide(transaction, fact, now)
        case Command():
            return _obey(transaction, fact, now)
        case Told():
            return replace(transaction, told=(transaction.told | {fact.effect}) & wanted_ids(transaction, now))
        case Delivered():
            return _settle(transaction, fact)
        case DeliveryRefused():
            return _refused(transaction, fact, now)
        case _:
            assert_never(fact)


def _judge_payloads(before: Transaction, after: Transaction, name: str, now: datetime) -> Transaction:
    """Judge only what can change the verdict: a series that is complete, a contradiction, what is too much."""
    if after.header is None and len(after.series) > SERIES_MAX:
        return before if before.verdict else _sending(before, Verdict("Failed", too_many_series(now)), now)
    known, series = before.series.get(name, Series()), after.series.get(name, Series())
    told = known.total_count is None and series.total_count is not None
    return _judge(after, now) if told or series.complete or after.conflict or after.header is None else after


def _judge(transaction: Transaction, now: datetime) -> Transaction:
    """Reach the verdict where one can be reached; before the header, which sets the policy, only for too much."""
    header, limits = transaction.header, transaction.limits
    if transaction.verdict is not None:
        return transaction
    if (problem := too_many_payloads(transaction, now)) is not None:
        return _sending(transaction, Verdict("Failed", problem), now)
    if header is None:
        problem = _too_early(transaction, now)
        return transaction if problem is None else _sending(transaction, Verdict("Failed", problem), now)
    if transaction.conflict is not None and limits.on_conflict != "keep-first":
        return _sending(transaction, Verdict("Failed", transaction.conflict), now)
    if all(transaction.series[spec.type].complete for spec in header.series):
        return _sending(transaction, Verdict("Completed"), now)
    return transaction


def _too_early(transaction: Transaction, now: datetime) -> Problem | None:
    limits = transaction.limits
    payloads = sum(series.received_count for series in transaction.series.values())
    size = sum(series.bytes for series in transaction.series.values())
    if payloads <= limits.early_payloads_max and size <= limits.early_bytes_max:
        return None
    detail = (
        f"{payloads} payloads with {size} bytes came before a header; "
        f"at most {limits.early_payloads_max} with {limits.early_bytes_max} may."
    )
    return Problem(OutcomeCode.EARLY_LIMIT, "Too much came before the header", detail, "await", rfc3339(now))


def _decide(transaction: Transaction, decision: Decision, now: datetime) -> Transaction:
    """Follow what was found out when time had passed; it was true then, and may be out of date by now."""
    verdict = transaction.verdict
    match decision:
        case GapNoticed():
            before = transaction.gap
            if verdict is not None or (before is not None and before.sequence >= decision.sequence):
                return transaction
            repeats = before.repeats + 1 if before is not None and not before.over else 0
            gap = Gap(decision.sequence, transaction.updated, decision.problem, repeats)
            return noted(replace(transaction, gap=gap), decision.problem)
        case Expired():
            if verdict is not None and not (verdict.outcome == "Completed" and decision.outcome == "Failed"):
                return transaction
            return _sending(transaction, Verdict(decision.outcome, decision.problem, decision.partial), now)
        case Overdue():
            if verdict is None or transaction.overdue is not None:
                return transaction
            return noted(replace(transaction, overdue=Noted(now, decision.problem)), decision.problem)
        case _:
            assert_never(decision)


def _obey(transaction: Transaction, command: Command, now: datetime) -> Transaction:
    """Carry out a command where the state allows it; whoever took it has said so, or refused it, before."""
    if any(known.id == command.id for known in transaction.commands):
        return transaction
    heard = Ordered(command.id, command.action, command.by, command.at)
    transaction = replace(transaction, commands=(*transaction.commands, heard)[-COMMANDS_MAX:])
    verdict = transaction.verdict
    match command.action:
        case "cancel" if verdict is None or verdict.outcome == "Completed":
            detail = f"{command.by} cancelled it."
            title = "The transaction was cancelled"
            problem = Problem(OutcomeCode.CANCELLED, title, detail, "await", rfc3339(now))
            return _sending(transaction, Verdict("Abandoned", lacking(transaction, problem)), now)
        case "extend" if verdict is None:
            return replace(transaction, extended_s=transaction.extended_s + command.extend_s)
        case "retry" if verdict is not None:
            return replace(transaction, refused=None, refusals=0)
        case _:
            return transaction


def _refused(transaction: Transaction, fact: DeliveryRefused, now: datetime) -> Transaction:
    verdict = transaction.verdict
    if verdict is None or fact.delivery != delivery_id(transaction.id, verdict.outcome):
        return transaction  # of an effect that is not wanted: it says nothing about the one that is
    # What was asked for stays named while another try fails for something else.
    unclear = fact.unclear or transaction.unclear
    refusals = transaction.refusals + 1
    return noted(replace(transaction, refusals=refusals, refused=now, unclear=unclear), fact.problem)


def _sending(transaction: Transaction, verdict: Verdict, now: datetime) -> Transaction:
    decided = transaction.decided or now
    after = replace(
        transaction,
        state=State.SENDING_COMPLETION,
        verdict=verdict,
        decided=decided,
        problem=verdict.problem,
        refusals=0,
        refused=None,
    )
    return after if verdict.problem is None else noted(after, verdict.problem)


def _settle(transaction: Transaction, fact: Delivered) -> Transaction:
    """Follow the outcome that was written, and let go of everything that was only needed to get there."""
    settled = Settled(fact.outcome_uri, fact.outcome_etag, fact.completed, fact.told, fact.notification_id)
    series = {name: replace(s, parts={}, contents=Contents()) for name, s in transaction.series.items()}
    state = State(fact.outcome)
    return replace(
        transaction, state=state, settled=settled, series=series, problem=fact.problem, refused=None, unclear={}
    )
