"""What of a result has not arrived, by what the API shows of its transaction and what a producer has of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge.quoting import quoted
from streams import queries
from streams.cli.errors import EXIT_USAGE, CliError
from streams.cli.payloads import Source
from tables import ordinals
from tables.ordinals import NONE, Ordinals
from tables.transaction import State

Ranges = Sequence[Sequence[int]]


class Missing(msgspec.Struct, frozen=True):
    """What is to be sent."""

    ordinals: Mapping[str, Ranges]
    """Inclusive ranges of each series of which something is missing."""
    header: bool = False
    """The header as well."""
    more: int = 0
    """Payloads that are missing as well, in ranges beyond those that one answer names."""

    @property
    def cut(self) -> bool:
        """There are more ranges than one answer names."""
        return self.more > 0

    @property
    def nothing(self) -> bool:
        """Everything has arrived."""
        return not self.ordinals and not self.header

    def count(self, name: str) -> int:
        """Payloads of a series."""
        return _count(self.ordinals.get(name, ()))

    @property
    def payloads(self) -> int:
        """All that are missing, also where they are not named."""
        return sum(map(_count, self.ordinals.values())) + self.more

    def added_to(self, sent: Mapping[str, Ordinals]) -> dict[str, Ordinals]:
        """These payloads, and those that were sent before."""
        return {**sent, **{name: sent.get(name, NONE) | _bits(ranges) for name, ranges in self.ordinals.items()}}

    def without(self, sent: Mapping[str, Ordinals]) -> Missing:
        """What of it was not sent before."""
        left = {name: _bits(ranges) & ~sent.get(name, NONE) for name, ranges in self.ordinals.items()}
        return replace(self, ordinals={name: _ranges(some) for name, some in left.items() if some})


def missing_of(row: Mapping[str, Any], series: Mapping[str, Source]) -> Missing:
    """What of these series has to be sent, so that the transaction has all of them.

    A series whose total count is not known is sent whole. While a result is delivered only blocks can be missing that
    were staged and have gone. Raises CliError when what is given cannot be the result that was begun.
    """
    state, name = State(row["state"]), row["transactionId"]
    if state in (State.FAILED, State.ABANDONED):
        message, remedy = f"{name} is {state}, and an outcome never changes", "Send it under another transaction id."
        raise CliError(message, code="already-closed", remedy=remedy)
    _check(row, series)
    found = queries.gaps(row)
    if state is not State.AWAITING_RESULTS:
        # How many more have gone is not told: one stands for them.
        return Missing(_of(series, found["lost"]), more=int(bool(found["lost"]) and found["rangesTruncated"]))
    whole = {each: [[1, source.total_count]] for each, source in series.items() if source.total_count}
    named = _of(series, {**whole, **found["series"]})
    known = (each for each in row["series"] if each["seriesType"] in named and each["totalCount"] is not None)
    more = sum(each["totalCount"] - each["receivedCount"] - _count(named[each["seriesType"]]) for each in known)
    return Missing(named, row["header"] is None, more)


def _count(ranges: Ranges) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _bits(ranges: Ranges) -> Ordinals:
    return ordinals.of([ordinal for first, last in ranges for ordinal in range(first, last + 1)])


def _ranges(some: Ordinals) -> Ranges:
    return ordinals.ranges(some, some.bit_length())[0]


def _of(series: Mapping[str, Source], missing: Mapping[str, Ranges]) -> dict[str, Ranges]:
    return {name: missing[name] for name in series if missing.get(name)}


def _check(row: Mapping[str, Any], series: Mapping[str, Source]) -> None:
    known = {each["seriesType"]: each["totalCount"] for each in row["series"]}
    listed = [each["type"] for each in row["header"]["series"]] if row["header"] else None
    for name, source in series.items():
        if listed is not None and name not in listed:
            message = f"The header of {row['transactionId']} does not list a series {quoted(name)}"
            raise _wrong(message, code="unknown-series", remedy=f"Name one of {', '.join(listed[:20])}.")
        total = known.get(name)
        if total is not None and total != source.total_count:
            message = f"Series {name} has {total} payloads, but file and chunk size make {source.total_count} of it"
            remedy = "Use the file and the --chunk-size with which it was begun."
            raise _wrong(message, code="other-chunks", remedy=remedy)
    others = [name for name in known if name not in series]
    if listed is None and others:
        message = f"The header of {row['transactionId']} has not come, and would not list {', '.join(others[:20])}"
        remedy = "Name every series of the transaction, each with its file."
        raise _wrong(message, code="unlisted-series", remedy=remedy)


def _wrong(message: str, *, code: str, remedy: str) -> CliError:
    return CliError(message, code=code, remedy=remedy, exit_code=EXIT_USAGE)
