"""What a transaction remembers of what went wrong: the last problems, the newest at the end. Pure."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from bridge.contract.outbound import Problem
from tables.transaction import Transaction

PROBLEMS_MAX: Final = 20


def noted(transaction: Transaction, problem: Problem) -> Transaction:
    """Remember what went wrong; the same again, as with every try of a delivery, takes the place of the one before.

    So does a verdict, of the problem that led to it.
    """
    known = tuple(each for each in transaction.problems if replace(each, terminal=problem.terminal) != problem)
    if known and (known[-1].code, known[-1].detail) == (problem.code, problem.detail):
        known = known[:-1]
    return replace(transaction, problem=problem, problems=(*known, problem)[-PROBLEMS_MAX:])


def noted_beside(transaction: Transaction, problem: Problem) -> Transaction:
    """Remember what is not what went wrong last: the transaction goes on as if nothing had been."""
    return replace(transaction, problems=(*transaction.problems, problem)[-PROBLEMS_MAX:])


def not_taken(transaction: Transaction, problem: Problem) -> Transaction:
    """Remember that a message was refused; of each code the last one, so that many leave room for everything else.

    It is not what is wrong with the transaction: nothing of the message was taken.
    """
    others = tuple(each for each in transaction.problems if (each.code, each.stage) != (problem.code, problem.stage))
    return noted_beside(replace(transaction, problems=others), problem)
