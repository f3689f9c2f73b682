"""What `brh list` prints for people: a table that fits the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from rich.filesize import decimal

from streams.cli.paper import Paper
from streams.cli.spans import from_now

_BETWEEN: Final = 2

Object = Mapping[str, Any]


class _Column(NamedTuple):
    name: str
    given_up: int
    """Where the table is too wide the column with the highest number goes first; those with 0 stay."""


_COLUMNS: Final = (
    _Column("transaction", 0),  # whole, because people copy it
    _Column("type", 2),
    _Column("state", 0),
    _Column("received", 1),
    _Column("bytes", 3),
    _Column("changed", 4),
    _Column("problem", 0),
)


def summaries(page: Object, paper: Paper = Paper(), now: datetime | None = None) -> list[str]:  # noqa: B008  # immutable
    """A page of the list as a table, or the sentence that there is nothing; with `now` times are told from there."""
    if not page["transactions"]:
        return ["No transactions."]
    table = [tuple(column.name for column in _COLUMNS), *(_line(each, now) for each in page["transactions"])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    kept = _fitting(widths, paper.width)
    return [_row(line, widths, kept, paper if number else Paper()) for number, line in enumerate(table)]


def _line(each: Object, now: datetime | None) -> tuple[str, ...]:
    came, total = each["receivedCount"], each["totalCount"]
    share = f" ({100 * came // total} %)" if total else ""
    changed = each["lastUpdated"]
    return (
        each["transactionId"],
        each["transactionType"],
        each["state"],
        f"{came} of {'?' if total is None else total}{share}",
        decimal(each["bytes"]),
        changed if now is None else from_now(changed, now),
        each["problemCode"] or "",
    )


def _fitting(widths: list[int], width: int | None) -> list[int]:
    """Numbers of the columns that are shown."""
    kept = list(range(len(_COLUMNS)))
    for number in sorted(kept, key=lambda each: -_COLUMNS[each].given_up):
        needed = sum(widths[each] + _BETWEEN for each in kept) - _BETWEEN
        if width is None or needed <= width or not _COLUMNS[number].given_up:
            break
        kept.remove(number)
    return kept


def _row(line: tuple[str, ...], widths: list[int], kept: list[int], paper: Paper) -> str:
    cells = [
        paper.state(line[each], widths[each]) if _COLUMNS[each].name == "state" else line[each].ljust(widths[each])
        for each in kept
    ]
    return (" " * _BETWEEN).join(cells).rstrip()
