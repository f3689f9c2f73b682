"""What the tracker itself finds out when time has passed: facts like those of messages, and kept like them.

They never travel on the events topic. The host asks `tables.deadlines.lapsed`, keeps the answer as a row, and tells it
to the rules; so whoever rebuilds the transaction from its rows comes to the same decision at the same place.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from bridge.contract.events import OutcomeKind
from bridge.contract.outbound import Problem


class GapNoticed(msgspec.Struct, frozen=True, tag=True, rename="camel"):
    """Nothing new has come for a while, and something is missing."""

    sequence: int
    """Running number within the transaction, from 1."""
    problem: Problem
    """Names what is missing."""


class Expired(msgspec.Struct, frozen=True, tag=True, rename="camel", omit_defaults=True):
    """A limit has passed that decides about the transaction."""

    outcome: OutcomeKind
    problem: Problem | None
    """None only for a partial result."""
    partial: bool = False


class Overdue(msgspec.Struct, frozen=True, tag=True, rename="camel"):
    """Outcome or notification take longer than they should."""

    problem: Problem


Decision: TypeAlias = GapNoticed | Expired | Overdue
