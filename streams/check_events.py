"""Hold a transaction as the events tell it against the row that its tracker shows. Pure.

The events are read as far as the tracker had taken them, and the row is read later. A row only grows until its
transaction is closed, and a closed one is forgotten in the end. So whatever the events tell of an open transaction must
be in its row, with three exceptions. With a verdict it is settled what counts: what comes then is not taken, and no
harm is done by what is missing. Of a series with many gaps the row shows only the first ranges. And where the first
events of a transaction are not kept any more, those that are may contradict them, or be late.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from bridge.contract.outbound import rfc3339
from streams.findings import Finding, Kind, finding
from streams.queries import Row
from streams.settings import RESULT_RETENTION_MIN_S
from streams.shown_ordinals import SERIES_SAID_MAX, not_shown, said
from tables.transaction import FINAL, State, Transaction


class Reach(msgspec.Struct, frozen=True):
    """How far the events of a partition tell, and how long trackers remember."""

    whole: bool
    """None of them has been removed."""
    now: datetime
    remembered_s: float
    """How long trackers keep the row of a closed transaction, from when it was told."""
    grace_s: float = 0.0
    """Before that is over, a row may be gone by so much: clocks differ."""


def is_cut(told: Transaction, row: Row | None, reach: Reach) -> bool:
    """Whether the first events of an open transaction may be gone, so that the others prove nothing."""
    if told.state in FINAL:
        return False
    if row is not None:
        # What a row says was first is never earlier than the record that told of it.
        created = datetime.fromisoformat(row["timestamps"]["created"])
        if created <= told.created:
            return created < told.created
    # What is kept may have come too late, for one that was closed and is forgotten, or has begun anew since. While it
    # is remembered there is a row, and results are removed a while after: so not where these events are young.
    sure_s = RESULT_RETENTION_MIN_S - reach.remembered_s
    return not reach.whole and reach.now - told.created >= timedelta(seconds=sure_s)


def check_events(told: Transaction, row: Row | None, reach: Reach) -> list[Finding]:
    """What the events tell and the row does not have."""
    if told.state in FINAL:
        return list(_closed(told, row, reach))
    if is_cut(told, row, reach):
        return []
    if row is None:
        detail = f"The events tell of it since {rfc3339(told.created)}: {_summed(told)}."
        return [finding(Kind.TRANSACTION_LOST, told.id, detail)]
    return list(_open(told, row)) if row["state"] == State.AWAITING_RESULTS else []


def _closed(told: Transaction, row: Row | None, reach: Reach) -> Iterator[Finding]:
    assert told.settled is not None, "closed transactions have an outcome"
    remembered_until = told.settled.notified + timedelta(seconds=reach.remembered_s - reach.grace_s)
    if remembered_until <= reach.now or (row is not None and row["state"] == told.state):
        return
    tells = f"The events tell that it is {told.state}, told at {rfc3339(told.settled.notified)}"
    if row is None:
        yield finding(Kind.TRANSACTION_LOST, told.id, f"{tells}, and there is no outcome.")
    else:
        kind = Kind.ROW_CONTRADICTS_EVENTS if row["state"] in FINAL else Kind.ROW_LACKS_EVENTS
        yield finding(kind, told.id, f"{tells}; the tracker has it in {row['state']}.")


def _open(told: Transaction, row: Row) -> Iterator[Finding]:
    if told.header is not None and row["header"] is None:
        yield finding(Kind.ROW_LACKS_EVENTS, told.id, "The events tell of its header, and the tracker has none.")
    # How much is kept of series that the header does not list is a matter of settings.
    wanted = {name: each for name, each in told.series.items() if told.header is None or each.listed}
    lacking = not_shown({name: each.received for name, each in wanted.items()}, row)
    if any(lacking.values()):
        detail = f"The events tell of payloads that the tracker does not have: {said(lacking)}."
        yield finding(Kind.ROW_LACKS_EVENTS, told.id, detail)
    counts = {each["seriesType"]: each["receivedCount"] for each in row["series"]}
    fewer = [
        f"{counts.get(name, 0)} of {each.received_count} of series {name}"
        for name, each in wanted.items()
        if not lacking[name] and counts.get(name, 0) < each.received_count
    ]
    if fewer:
        detail = f"The tracker has fewer payloads than the events tell of: {', '.join(fewer[:SERIES_SAID_MAX])}."
        yield finding(Kind.ROW_LACKS_EVENTS, told.id, detail)


def _summed(told: Transaction) -> str:
    count = sum(each.received_count for each in told.series.values())
    return f"{'its header' if told.header else 'no header'} and {count} payload{'' if count == 1 else 's'}"
