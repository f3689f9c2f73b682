"""What becomes of messages that contradict what came first: they are counted, and some of them remembered. Pure.

The first contradiction of a transaction stands by itself, because the policy may fail the transaction for it. Where
the first message stays, an operator has to see that it is not the only one: so of each code one further contradiction
is noted among the problems. It is the first further one and not the last. Messages may be told again at any time and
in any order, and which came last would then change with each of them, and be worth another row each time; like this a
transaction has at most one row more for each code, however often messages contradict.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from bridge.contract.outbound import OutcomeCode, Problem, rfc3339
from tables.problems import noted, noted_beside
from tables.transaction import Transaction


class Contradiction(NamedTuple):
    """Something that a message says, and something else that came before."""

    code: OutcomeCode
    about: str
    """What says it: the same again has the same, although its detail may have changed with what is known by then."""
    title: str
    detail: str
    """Both sides."""


def contradicted(transaction: Transaction, found: Sequence[Contradiction], now: datetime) -> Transaction:
    """The transaction after a fact in which these contradictions were found; with a verdict they are only counted."""
    if not found:
        return transaction
    code = found[0].code  # a fact counts once
    counts = {**transaction.contradictions, code: transaction.contradictions.get(code, 0) + 1}
    transaction = replace(transaction, contradictions=counts)
    if transaction.verdict is not None:
        return transaction  # nothing is weighed any more
    if transaction.conflict is None:
        first, *found = found
        transaction = replace(transaction, conflict=_problem(first, now), conflict_about=first.about)
        transaction = noted(transaction, _standing(first, now))
    for each in found:
        transaction = _further(transaction, each, now)
    return transaction


def _further(transaction: Transaction, found: Contradiction, now: datetime) -> Transaction:
    """Note a contradiction beyond the first one, unless one of its code is noted already."""
    assert transaction.conflict is not None
    same = (found.code, found.about) == (transaction.conflict.code, transaction.conflict_about)
    if same or found.code in transaction.conflict_codes:
        return transaction
    transaction = replace(transaction, conflict_codes=transaction.conflict_codes | {found.code})
    return noted_beside(transaction, _standing(found, now))


def _standing(found: Contradiction, now: datetime) -> Problem:
    """As a problem of a transaction that goes on."""
    return replace(_problem(found, now), terminal=False)


def _problem(found: Contradiction, now: datetime) -> Problem:
    return Problem(found.code, found.title, found.detail, "await", rfc3339(now))
