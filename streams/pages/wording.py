"""Numbers, sizes, times and codes as people read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from rich.filesize import decimal

from streams import remedies

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

MEANS: Final[Mapping[str, str]] = {
    "AwaitingResults": "Header or payloads are missing.",
    "SendingCompletion": "Decided; the outcome is being written and told.",
    "Completed": "The result is in storage, and everybody was told.",
    "Failed": "The result cannot be made; everybody was told.",
    "Abandoned": "It was given up; everybody was told.",
}
"""What the states mean."""

_REMEDIES: Final[Mapping[str, str]] = {
    # What helps a person in front of a page, where it is something else than what helps a program.
    "unknown-transaction": "Check the id. A transaction is known as soon as a message of it was accepted; "
    "`brh dlq list` shows what was refused.",
    "not-ready": "Nothing to do: this page asks again by itself.",
    "too-many-requests": "Nothing to do: this page asks again by itself. Close windows that nobody looks at.",
    "token-missing": "Log in at /login.",
    "token-wrong": "Log in at /login with a token of this installation.",
    "operate-token-needed": "Log out, and log in with BRH_API_OPERATE_TOKEN.",
    "csrf-token-wrong": "Go back, load the page again, and press the button there.",
    "not-found": "Check the address, or begin at the overview.",
    "method-not-allowed": "Go back, and use the buttons of the page.",
    "foreign-origin": "Open the page under its own address, and try again.",
}


def remedy(document: Mapping[str, Any], transaction_id: str = "") -> str | None:
    """What helps against a problem: on a page, else what it says itself, else what is known of its code."""
    said: str | None = _REMEDIES.get(document["code"]) or document.get("remedy")
    return said or remedies.remedy(document["code"], transaction_id)


def size(count: int) -> str:
    """Bytes in decimal units, as the command line says them."""
    return decimal(count)


def number(count: float) -> str:
    """A whole number with separators, a small fraction with one digit."""
    return f"{count:,.0f}" if count >= 10 or float(count).is_integer() else f"{count:,.1f}"


def duration(seconds: float) -> str:
    """The largest unit, and the next one where the first is below ten, such as `3 h 5 min`."""
    left = int(seconds)
    for (unit_s, unit), (next_s, following) in pairwise(_UNITS):
        amount, rest = divmod(left, unit_s)
        if amount:
            smaller = rest // next_s if amount < 10 else 0
            return f"{amount} {unit} {smaller} {following}" if smaller else f"{amount} {unit}"
    return f"{left} s" if left else "less than 1 s"


def relative(text: str, now: datetime) -> str:
    """A moment of RFC 3339 as seen from now: `3 min ago` or `in 2 h`."""
    seconds = (datetime.fromisoformat(text) - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"


def day(text: str) -> str:
    """The date of a moment of RFC 3339."""
    return text[:10]


def clock(text: str) -> str:
    """The time of day of a moment of RFC 3339, to the second."""
    return text[11:19]


def percent(part: int, whole: int) -> str:
    """A share that is 100 % only when nothing lacks, and 0 % only when there is nothing."""
    if part == whole:
        return "100 %"
    tenths = 1_000 * part // whole
    return f"{max(tenths, 1 if part else 0) / 10:.1f} %"
