"""How large a transaction may be, and how many may be open. Pure.

Everything that is kept or sent about a transaction grows with its series and payloads: the tracker's memory, the plan
of its delivery, the outcome document and its notification, each of them one record. Without a limit here such a record
would at last be refused by Kafka, and the worker that sends it would end again and again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from bridge.contract.inbound import SERIES_MAX
from bridge.contract.outbound import OutcomeCode, Problem, rfc3339
from tables.decisions import Expired
from tables.transaction import Transaction

PAYLOADS_MAX: Final = 5_000_000
"""Of one transaction: the sum of the total counts of its series. At 9 to 13 bytes an ordinal that is 65 MB of a
tracker's memory beside the rows, and at most 2,220 parts: a plan below `tables.effects.EFFECT_MAX_BYTES` however the
payloads were staged, and an outcome of a megabyte."""


def too_many_series(now: datetime) -> Problem:
    """One more series has come before the header than any header can list."""
    detail = f"Payloads of more than {SERIES_MAX} series came before the header, and no header lists more."
    return _problem(OutcomeCode.TOO_MANY_SERIES, "A transaction has too many series", detail, now)


def too_many_payloads(transaction: Transaction, now: datetime) -> Problem | None:
    """Why the series, as far as they are known, are more than one transaction may have; None when they are not."""
    wanted = [each for each in transaction.series.values() if each.listed or transaction.header is None]
    detail = beyond_payloads_max(sum(each.total_count or 0 for each in wanted))
    if detail is None:
        return None
    return _problem(OutcomeCode.TOO_MANY_PAYLOADS, "A transaction has too many payloads", detail, now)


def beyond_payloads_max(count: int) -> str | None:
    """Why so many payloads of all series are more than one transaction may have; None when they are not."""
    if count <= PAYLOADS_MAX:
        return None
    return f"Its series have {count} payloads together, and a transaction has at most {PAYLOADS_MAX}: split it."


def too_many_open(limit: int, now: datetime) -> Expired:
    """One more transaction has begun than may be open in its partition."""
    detail = f"{limit} transactions of its partition are open, which is as many as may be."
    return Expired("Failed", _problem(OutcomeCode.TOO_MANY_OPEN, "Too many transactions are open", detail, now))


def _problem(code: OutcomeCode, title: str, detail: str, now: datetime) -> Problem:
    return Problem(code=code, title=title, detail=detail, stage="await", occurred_at=rfc3339(now))
