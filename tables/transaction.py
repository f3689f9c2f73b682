"""What is known of one transaction: a frozen record that only `tables.rules` makes new versions of."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from bridge.contract.events import OutcomeKind
from bridge.contract.inbound import Header, Trace
from bridge.contract.outbound import Problem
from tables.contents import Contents
from tables.ordinals import NONE, Ordinals
from tables.policies import Limits


class State(StrEnum):
    """Where a transaction stands; the strings are public."""

    AWAITING_RESULTS = "AwaitingResults"
    """Open: header or payloads are missing."""
    SENDING_COMPLETION = "SendingCompletion"
    """A verdict is reached; its outcome is being written and told."""
    COMPLETED = "Completed"
    FAILED = "Failed"
    ABANDONED = "Abandoned"


FINAL = frozenset({State.COMPLETED, State.FAILED, State.ABANDONED})


class PartTally(msgspec.Struct, frozen=True):
    """What the accepted blocks of one part add up to, in any order."""

    ordinals: int = 0
    blocks: int = 0
    bytes: int = 0
    digest: int = 0
    """Sum modulo 2^128 of a hash of each accepted block id: grows in O(1), and order does not matter."""
    content: int = 0
    """The same of a hash of each ordinal with what it contains: it does not change with the blocks that hold it."""


class Series(msgspec.Struct, frozen=True):
    """What has been received of one series."""

    total_count: int | None = None
    """None until the header or a payload has told."""
    content_type: str | None = None
    received: Ordinals = NONE
    received_count: int = 0
    bytes: int = 0
    contents: Contents = Contents()
    parts: dict[int, PartTally] = {}
    listed: bool = False
    """The header has it."""

    @property
    def complete(self) -> bool:
        """Every ordinal has arrived."""
        return self.total_count is not None and self.received_count == self.total_count


class Verdict(msgspec.Struct, frozen=True):
    """What the rules have decided; the outcome document may still say otherwise, and then it wins."""

    outcome: OutcomeKind
    problem: Problem | None = None
    partial: bool = False
    """Completed with what has been received."""


class Gap(msgspec.Struct, frozen=True):
    """What was noticed to be missing, the last time."""

    sequence: int
    at: datetime
    problem: Problem
    repeats: int
    """How often it was noticed before, since anything new came."""
    over: bool = False
    """Something new has come since."""


class Noted(msgspec.Struct, frozen=True):
    """Something that was found out once."""

    at: datetime
    problem: Problem


class Ordered(msgspec.Struct, frozen=True, rename="camel"):
    """A command that was heard."""

    id: str
    action: str
    by: str
    at: datetime


class Settled(msgspec.Struct, frozen=True):
    """The outcome as it was written and told."""

    outcome_uri: str
    outcome_etag: str
    completed: datetime
    notified: datetime
    notification_id: str


class Transaction(msgspec.Struct, frozen=True):
    """One transaction, folded from its facts in partition order."""

    id: str
    created: datetime
    updated: datetime
    state: State = State.AWAITING_RESULTS
    header: Header | None = None
    header_digest: str | None = None
    header_received: datetime | None = None
    reply_to: str | None = None
    trace: Trace = Trace()
    series: dict[str, Series] = {}
    duplicates: int = 0
    late: int = 0
    """Messages that came when there was a verdict already, and brought nothing that it needs."""
    conflict: Problem | None = None
    """The first contradiction between messages; the policy in the header says what it means."""
    conflict_about: str = ""
    """What says it, by which it is known again."""
    conflict_codes: frozenset[str] = frozenset()
    """Of further contradictions: one of each of these codes stands among the problems."""
    contradictions: dict[str, int] = {}
    """How many facts contradicted what had come before, by code; repeated ones count again."""
    limits: Limits = Limits()
    progressed: datetime | None = None
    """When something new came last."""
    extended_s: float = 0.0
    """By commands, of the time to wait for the header and for everything."""
    gap: Gap | None = None
    verdict: Verdict | None = None
    decided: datetime | None = None
    """When the state became SendingCompletion."""
    overdue: Noted | None = None
    """That the delivery takes too long."""
    told: frozenset[str] = frozenset()
    """Ids of effects, other than deliveries, that were carried out and would be wanted otherwise."""
    commands: tuple[Ordered, ...] = ()
    """The last ones."""
    refusals: int = 0
    """Deliveries refused in a row."""
    refused: datetime | None = None
    unclear: dict[str, tuple[int, ...]] = {}
    """Parts, by series, that a delivery could not make out: the next plan names their blocks."""
    problem: Problem | None = None
    """What went wrong last."""
    problems: tuple[Problem, ...] = ()
    """The last ones that went wrong, the newest at the end."""
    settled: Settled | None = None
    recovered: datetime | None = None
    recoveries: int = 0

    @property
    def transaction_type(self) -> str:
        """As the header says; `default` before it came."""
        return self.header.transaction_type if self.header else "default"
