"""What the read commands print for people, made from the API's objects. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from rich.filesize import decimal

from streams.cli.paper import Paper, Ranges, ranges
from streams.cli.spans import from_now
from streams.remedies import helping, remedy
from tables.transaction import FINAL

RANGES_SHOWN: Final = 8
SERIES_SHOWN: Final = 20
"""Of a transaction with more: those that lack something, so that what matters is on one screen."""
PLAIN: Final = Paper()

_KINDS: Final = {
    "header": "when it is abandoned, unless its header comes.",
    "idle": "when its gaps are told, unless something new comes.",
    "awaiting": "when waiting ends.",
    "retry": "when its delivery is tried again.",
    "completing": "when its delivery counts as overdue.",
    "completing-max": "when it has failed, unless it is delivered.",
}
"""What the kinds of deadlines bring."""

_SINCE: Final = {"AwaitingResults": "The last news came {}.", "SendingCompletion": "It was decided {}."}

Object = Mapping[str, Any]


def status(row: Object, paper: Paper = PLAIN, now: datetime | None = None, *, every: bool = False) -> list[str]:
    """A transaction, line by line; with `now` times are also told from there, with `every` all series are shown."""
    times = row["timestamps"]
    lines = [
        f"{paper.styled(row['transactionId'], bold=True)}  {paper.state(row['state'])}",
        f"type {row['transactionType']}, created {_when(times['created'], now)}, "
        f"changed {_when(times['lastUpdated'], now)}"
        + (f", completed {_when(times['completed'], now)}" if times["completed"] else ""),
    ]
    if row["header"] is None:
        lines.append("The header has not come: what is known is what the payloads tell.")
    lines += [*_all_series(row, paper, every), ""]
    if row["problem"]:
        lines.append(paper.styled(problem(row["problem"]), fg="red"))
        if row["state"] not in FINAL and (helps := remedy(row["problem"]["code"], row["transactionId"])):
            lines.append(f"What helps: {helps}")
    lines += _deadline(row, now)
    if row["blobUri"]:
        lines.append(f"Result: {row['blobUri']}")
    return [*lines, paper.styled(advice(row), bold=True)]


def _when(moment: str, now: datetime | None) -> str:
    return moment if now is None else f"{from_now(moment, now)} ({moment})"


def _deadline(row: Object, now: datetime | None) -> list[str]:
    """What time alone brings next, and when waiting ends."""
    found = row["deadlines"]
    if found["next"] is None:
        return []
    lines = [f"Next deadline: {_when(found['next'], now)}, {_KINDS[found['kind']]}"]
    if found["awaiting"] not in (None, found["next"]):
        lines.append(f"Waits until {found['awaiting']} at most.")
    return lines


def _all_series(row: Object, paper: Paper, every: bool) -> Iterator[str]:
    series = row["series"]
    shown = series
    if len(series) > SERIES_SHOWN and not every:
        lacking = [each for each in series if not _complete(each)]
        shown = lacking[:SERIES_SHOWN]
        yield ""
        yield f"{len(series)} series, {len(series) - len(lacking)} of them complete" + (
            f"; these are {len(shown)} of {len(lacking)} that lack something (--all shows all):" if shown else "."
        )
    for each in shown:
        yield ""
        yield from _series(each, paper)


def _complete(series: Object) -> bool:
    return bool(series["receivedCount"] == series["totalCount"])


def _series(series: Object, paper: Paper) -> list[str]:
    total, came = series["totalCount"], series["receivedCount"]
    name, size = paper.styled(series["seriesType"], bold=True), decimal(series["bytes"])
    if total is None:
        return [f"{name}: {came} received, total unknown, {size}"]
    if not total:
        return [f"{name}: 0 of 0, {size}"]
    # Rounded down: 100 % is said only of all.
    lines = [f"{name}: {came} of {total} ({100 * came // total} %), {size}"]
    lines.append("  " + paper.bar(series["received"], total, cut=series["rangesTruncated"]))
    if missing := series["missing"]:
        # The row's flag is also set when only the received ranges were cut.
        cut = series["rangesTruncated"] and sum(last - first + 1 for first, last in missing) < total - came
        lines.append(paper.fitting(f"  {total - came} missing: ", missing, RANGES_SHOWN, cut=cut))
    return lines


def problem(found: Object) -> str:
    """A problem in one line."""
    return f"Problem: {found['title']} ({found['code']}): {found['detail']}"


def advice(row: Object) -> str:
    """The command that comes next."""
    name = row["transactionId"]
    match row["state"]:
        case "AwaitingResults" if any(series["missing"] for series in row["series"]):
            send = f"`brh send {name} --only-missing` with the same --series as before sends what is missing"
            return f"Next: {send}, `brh gaps {name}` names it."
        case "AwaitingResults":
            return f"Next: `brh wait {name}` waits for it, `brh explain {name}` says what it waits for."
        case "SendingCompletion" if row["deadlines"]["kind"] == "retry":
            return f"Next: `brh retry {name}` tries its delivery at once, `brh explain {name}` says why it was refused."
        case "SendingCompletion":
            return f"Next: `brh wait {name}` returns when the outcome is told."
        case "Completed":
            return f"Next: `brh fetch {name} --out DIR` downloads and verifies it."
        case _:
            return helping(row["problem"]["code"] if row["problem"] else None, name)


def explanation(found: Object, paper: Paper = PLAIN, now: datetime | None = None) -> list[str]:
    """Why a transaction is not done yet, line by line; with `now` times are also told from there."""
    lines = [paper.styled(found["summary"], bold=True)]
    # A tracker of the release before does not tell.
    if (since := _SINCE.get(found["state"])) is not None and "since" in found:
        lines.append(since.format(_when(found["since"], now)))
    for title, texts in (("Waits for:", found["waitingFor"]), ("Otherwise:", found["otherwise"])):
        if texts:
            lines += ["", title, *(f"  {text}" for text in texts)]
    if found["events"]:
        lines += ["", "Until now:", *(f"  {_event(event)}" for event in found["events"])]
    # Nor does it tell this.
    if more := found.get("more"):
        width = max(len(each["command"]) for each in more)
        lines += ["", "More:", *(f"  {each['command']:{width}}  {each['shows']}" for each in more)]
    if found["command"]:
        lines.append(paper.styled(f"Next: {found['command']}", bold=True))
    if advice := found.get("advice"):
        lines.append(advice if found["command"] else paper.styled(f"What helps: {advice}", bold=True))
    return lines


def _event(event: Object) -> str:
    code = f" ({event['code']})" if event.get("code") else ""
    at = f" [{event['offset']}]" if "offset" in event else ""
    return f"{event['at']}{at}  {event['kind']}{code}: {event['text']}"


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
