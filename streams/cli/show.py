"""What the read commands print for people, made from the API's objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.filesize import decimal

BAR_CELLS: Final = 60
RANGES_SHOWN: Final = 8

_WHOLE, _PART, _NONE, _UNKNOWN = "▮", "▪", "▯", "·"

_KINDS: Final = {
    "header": "when it is abandoned, unless its header comes.",
    "idle": "when its gaps are told, unless something new comes.",
    "awaiting": "when waiting ends.",
    "retry": "when its delivery is tried again.",
    "completing": "when its delivery counts as overdue.",
    "completing-max": "when it has failed, unless it is delivered.",
}
"""What the kinds of deadlines bring."""

Ranges = Sequence[Sequence[int]]
Object = Mapping[str, Any]


def status(row: Object) -> list[str]:
    """A transaction, line by line."""
    times = row["timestamps"]
    lines = [
        f"{row['transactionId']}  {row['state']}",
        f"type {row['transactionType']}, created {times['created']}, changed {times['lastUpdated']}"
        + (f", completed {times['completed']}" if times["completed"] else ""),
    ]
    if row["header"] is None:
        lines.append("The header has not come: what is known is what the payloads tell.")
    for series in row["series"]:
        lines += ["", *_series(series)]
    lines.append("")
    if row["problem"]:
        lines.append(problem(row["problem"]))
    lines += _deadline(row)
    if row["blobUri"]:
        lines.append(f"Result: {row['blobUri']}")
    return [*lines, advice(row)]


def _deadline(row: Object) -> list[str]:
    """What time alone brings next, and when waiting ends."""
    found = row["deadlines"]
    if found["next"] is None:
        return []
    lines = [f"Next deadline: {found['next']}, {_KINDS[found['kind']]}"]
    if found["awaiting"] not in (None, found["next"]):
        lines.append(f"Waits until {found['awaiting']} at most.")
    return lines


def _series(series: Object) -> list[str]:
    total = series["totalCount"]
    size = decimal(series["bytes"])
    if total is None:
        return [f"{series['seriesType']}: {series['receivedCount']} received, total unknown, {size}"]
    lines = [f"{series['seriesType']}: {series['receivedCount']} of {total}, {size}"]
    if total:
        lines.append("  " + bar(series["received"], total, BAR_CELLS, cut=series["rangesTruncated"]))
    if series["missing"]:
        lines.append(f"  missing {ranges(series['missing'], RANGES_SHOWN)}")
    return lines


def bar(received: Ranges, total: int, cells: int, *, cut: bool = False) -> str:
    """The ordinals 1 .. total as one line: each cell is whole, in part, or not there; unknown behind a cut."""
    cells = min(cells, total)
    drawn = []
    for cell in range(cells):
        first, last = cell * total // cells + 1, (cell + 1) * total // cells
        if cut and (not received or last > received[-1][1]):
            drawn.append(_UNKNOWN)
            continue
        there = sum(max(0, min(last, to) - max(first, start) + 1) for start, to in received)
        drawn.append(_WHOLE if there == last - first + 1 else _PART if there else _NONE)
    return "".join(drawn)


def ranges(found: Ranges, limit: int | None = None) -> str:
    """Ordinals as `17, 42-90`."""
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in found[:limit]]
    more = len(found) - len(shown)
    return ", ".join(shown) + (f" and {more} more ranges" if more else "")


def problem(found: Object) -> str:
    """A problem in one line."""
    return f"Problem: {found['title']} ({found['code']}): {found['detail']}"


def advice(row: Object) -> str:
    """The command that comes next."""
    name = row["transactionId"]
    match row["state"]:
        case "AwaitingResults" if any(series["missing"] for series in row["series"]):
            return f"Next: `brh gaps {name}` names what is missing, `brh wait {name}` waits for it."
        case "AwaitingResults":
            return f"Next: `brh explain {name}` says what it waits for, `brh wait {name}` waits for it."
        case "SendingCompletion" if row["deadlines"]["kind"] == "retry":
            return f"Next: `brh retry {name}` tries its delivery at once, `brh explain {name}` says why it was refused."
        case "SendingCompletion":
            return f"Next: `brh wait {name}` returns when the outcome is told."
        case "Completed":
            return f"Next: `brh fetch {name} --out DIR` downloads and verifies it."
        case _:
            return "An outcome never changes: mend the cause, then send the result under another transaction id."


def explanation(found: Object) -> list[str]:
    """Why a transaction is not done yet, line by line."""
    lines = [found["summary"]]
    for title, texts in (("Waits for:", found["waitingFor"]), ("Otherwise:", found["otherwise"])):
        if texts:
            lines += ["", title, *(f"  {text}" for text in texts)]
    if found["events"]:
        lines += ["", "Until now:", *(f"  {_event(event)}" for event in found["events"])]
    if found["command"]:
        lines += ["", f"Next: {found['command']}"]
    return lines


def _event(event: Object) -> str:
    code = f" ({event['code']})" if event.get("code") else ""
    return f"{event['at']}  {event['kind']}{code}: {event['text']}"


def summaries(page: Object) -> list[str]:
    """A page of the list as a table, or the sentence that there is nothing."""
    if not page["transactions"]:
        return ["No transactions."]
    table = [("transaction", "type", "state", "received", "bytes", "changed", "problem")]
    for each in page["transactions"]:
        of = "?" if each["totalCount"] is None else each["totalCount"]
        counts = f"{each['receivedCount']} of {of}"
        table.append(
            (
                each["transactionId"],
                each["transactionType"],
                each["state"],
                counts,
                decimal(each["bytes"]),
                each["lastUpdated"],
                each["problemCode"] or "",
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in table]


def gaps(found: Object) -> list[str]:
    """The missing ordinals of each series, all of them, and how they can still come."""
    name, waits = found["transactionId"], found["state"] == "AwaitingResults"
    lines = [] if found["header"] or not waits else ["The header is missing: there may be more series than these."]
    lines += [_missing(series, ranges, "missing") for series, ranges in found["series"].items() if ranges]
    lines += [_missing(series, ranges, "lost from storage") for series, ranges in found["lost"].items()]
    lines += [f"{series}: nothing has told its total count" for series in found["unknownTotal"]]
    if found["rangesTruncated"]:
        lines.append("There are more gaps than these.")
    if not lines:
        return [f"{name} is {found['state']}: nothing is missing of it."]
    if waits or found["lost"]:
        return [*lines, f"Next: `brh send {name} --only-missing` with the same --series sends just that."]
    return [f"{name} is {found['state']}, without these:", *lines]


def _missing(series: str, found: Ranges, how: str) -> str:
    count = sum(last - first + 1 for first, last in found)
    return f"{series}: {count} {how}: {ranges(found)}"
