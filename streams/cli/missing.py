"""What of a result has not arrived, by what the API shows of its transaction and what a producer has of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bridge.quoting import quoted
from streams import queries
from streams.cli.errors import EXIT_USAGE, CliError
from streams.cli.payloads import Source
from tables.transaction import State

Ranges = Sequence[Sequence[int]]


class Missing(msgspec.Struct, frozen=True):
    """What is to be sent."""

    ordinals: Mapping[str, Ranges]
    """Inclusive ranges of each series of which something is missing."""
    header: bool = False
    """The header as well."""
    cut: bool = False
    """There are more ranges than one answer names."""

    @property
    def nothing(self) -> bool:
        """Everything has arrived."""
        return not self.ordinals and not self.header

    def count(self, name: str) -> int:
        """Payloads of a series."""
        return sum(last - first + 1 for first, last in self.ordinals.get(name, ()))


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
        return Missing(_of(series, found["lost"]), cut=bool(found["lost"]) and found["rangesTruncated"])
    whole = {each: [[1, source.total_count]] for each, source in series.items() if source.total_count}
    return Missing(_of(series, {**whole, **found["series"]}), row["header"] is None, found["rangesTruncated"])


def _of(series: Mapping[str, Source], missing: Mapping[str, Ranges]) -> dict[str, Ranges]:
    return {name: missing[name] for name in series if missing.get(name)}


def _check(row: Mapping[str, Any], series: Mapping[str, Source]) -> None:
    known = {each["seriesType"]: each["totalCount"] for each in row["series"]}
    listed = [each["type"] for each in row["header"]["series"]] if row["header"] else None
    for name, source in series.items():
        if listed is not None and name not in listed:
            message = f"The header of {row['transactionId']} does not list a series {quoted(name)}"
            raise _wrong(message, "unknown-series", f"Name one of {', '.join(listed[:20])}.")
        total = known.get(name)
        if total is not None and total != source.total_count:
            message = f"Series {name} has {total} payloads, but file and chunk size make {source.total_count} of it"
            raise _wrong(message, "other-chunks", "Use the file and the --chunk-size with which it was begun.")
    others = [name for name in known if name not in series]
    if listed is None and others:
        message = f"The header of {row['transactionId']} has not come, and would not list {', '.join(others[:20])}"
        raise _wrong(message, "unlisted-series", "Name every series of the transaction, each with its file.")


def _wrong(message: str, code: str, remedy: str) -> CliError:
    return CliError(message, code=code, remedy=remedy, exit_code=EXIT_USAGE)
