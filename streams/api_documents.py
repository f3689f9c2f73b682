"""Every document that the API answers with, as structs: what `/openapi.json` is made from.

Answers are read from rows and merged, and so are plain JSON when they leave; tests hold them against these.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from bridge.contract.inbound import SeriesType, TransactionId, TransactionType
from bridge.contract.outbound import Problem, Ranges
from streams.commands import Action
from tables.transaction import State

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339, UTC, with milliseconds."""
Count = Annotated[int, msgspec.Meta(ge=0)]
Rate = Annotated[float, msgspec.Meta(ge=0)]


class Answer(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A document of the API."""


class AnnouncedSeries(Answer, frozen=True):
    """A series as the header announces it."""

    type: SeriesType
    total_count: Count | UnsetType = UNSET
    content_type: str | UnsetType = UNSET


class Timeouts(Answer, frozen=True):
    """Limits that the header sets, as ISO 8601 durations."""

    idle: str | UnsetType = UNSET
    awaiting: str | UnsetType = UNSET


class HeaderSaid(Answer, frozen=True):
    """What the header says; what it leaves out is left out."""

    series: tuple[AnnouncedSeries, ...]
    transaction_type: TransactionType | UnsetType = UNSET
    timeouts: Timeouts | UnsetType = UNSET
    on_timeout: Literal["abandon", "partial"] | UnsetType = UNSET
    on_conflict: Literal["fail", "keep-first"] | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


class SeriesReceived(Answer, frozen=True):
    """What has come of a series. Ranges are inclusive and at most 1,000."""

    series_type: SeriesType
    total_count: Count | None
    received_count: Count
    bytes: Count
    received: Ranges
    missing: Ranges
    ranges_truncated: bool


class Timestamps(Answer, frozen=True):
    """Milestones of a transaction."""

    created: Time | None
    last_updated: Time
    header_received: Time | None
    completed: Time | None
    notified: Time | None
    recovered: Time | None


class Deadlines(Answer, frozen=True):
    """What time brings next, and until when results are awaited."""

    next: Time | None
    kind: str | None
    awaiting: Time | None


class CommandHeard(Answer, frozen=True):
    """A command that was carried out."""

    id: str
    action: Action
    by: str
    at: Time


class Transaction(Answer, frozen=True):
    """A transaction in full."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    state: State
    header: HeaderSaid | None
    series: tuple[SeriesReceived, ...]
    duplicates: Count
    contradictions: dict[str, Count]
    """Messages that contradicted what had come before them, by code; repeated ones count again."""
    blob_uri: str | None
    timestamps: Timestamps
    recoveries: Count
    deadlines: Deadlines
    problem: Problem | None
    problems: tuple[Problem, ...]
    commands: tuple[CommandHeard, ...]
    from_outcome: bool | UnsetType = UNSET
    """No tracker remembers it: this is what its outcome says."""


class TransactionEntry(Answer, frozen=True):
    """A transaction in short; `totalCount` is null until all of it is known."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    state: State
    created: Time
    last_updated: Time
    series_count: Count
    received_count: Count
    total_count: Count | None
    bytes: Count
    problem_code: str | None


class TransactionPage(Answer, frozen=True):
    """A page of the list, in the order of ids; `next` continues it."""

    transactions: tuple[TransactionEntry, ...]
    next: str | None


class Gaps(Answer, frozen=True):
    """What is missing of each series whose total is known, and the series whose total is not."""

    transaction_id: TransactionId
    state: State
    header: bool
    series: dict[str, Ranges]
    unknown_total: tuple[SeriesType, ...]
    ranges_truncated: bool
    lost: dict[str, Ranges]


class Happening(Answer, frozen=True):
    """Something that happened to a transaction."""

    at: Time
    kind: str
    text: str
    code: str | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    """Of the record that brought it, in the transaction's partition of the events topic."""


class CommandShows(Answer, frozen=True):
    """A command line, and what it shows."""

    command: str
    shows: str


class Explained(Answer, frozen=True):
    """Why a transaction is not done yet, and what helps."""

    transaction_id: TransactionId
    state: State
    summary: str
    since: Time
    """When the last news of what is waited for came, the verdict was reached, or the outcome was decided."""
    waiting_for: tuple[str, ...]
    otherwise: tuple[str, ...]
    deadlines: Deadlines
    events: tuple[Happening, ...]
    command: str | None
    """The command line that helps, waits, or gets the result; null for what is Failed or Abandoned."""
    advice: str | None
    """What there is to say of the command, or, without one, what can be done."""
    more: tuple[CommandShows, ...]
    """Command lines that tell what is not here."""


class CommandTaken(Answer, frozen=True):
    """A command that will be carried out if the state still allows it."""

    command_id: str
    transaction_id: TransactionId
    action: Action


class Extension(Answer, frozen=True):
    """Body of `extend`: an ISO 8601 duration from 1 s to 6 days."""

    by: str


class Nothing(Answer, frozen=True):
    """Body of a command without members; it may be left out."""


class OldestOpen(Answer, frozen=True):
    """The transaction that has been open for longest."""

    transaction_id: TransactionId
    transaction_type: TransactionType
    state: State
    created: Time
    last_updated: Time


class Seconds(Answer, frozen=True):
    """Second by second; the newest is the last."""

    payloads: tuple[Count, ...]
    bytes: tuple[Count, ...]


class Rates(Answer, frozen=True):
    """Means over at most the last `windowS` seconds."""

    window_s: Count
    payloads_per_s: Rate
    bytes_per_s: Rate
    opened_per_s: Rate
    closed_per_s: Rate
    seconds: Seconds


class Summary(Answer, frozen=True):
    """All transactions that are remembered, by state."""

    states: dict[State, Count]
    open: Count
    oldest_open: OldestOpen | None
    rates: Rates
