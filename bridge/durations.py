"""ISO 8601 durations of days, hours, minutes and seconds, such as `PT10M`. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from bridge.contract.inbound import TIMEOUT_MAX_S, TIMEOUT_MIN_S

DURATION = re.compile(
    r"P(?=.)(?:([0-9]{1,9})D)?(?:T(?=.)(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9}(?:[.,][0-9]{1,9})?)S)?)?"
)
EXPECTED_LIMIT = "an ISO 8601 duration from PT1S to P6D such as PT10M"


def duration_s(text: str) -> float | None:
    """Seconds; None when the text is no duration. Rounded once: PT1M16.016S is 76.016."""
    total = _exact(text)
    return None if total is None else float(total)


def limit_s(text: str) -> float | None:
    """Seconds of a limit; None when the text is no duration from `TIMEOUT_MIN_S` to `TIMEOUT_MAX_S`."""
    total = _exact(text)
    return None if total is None or not TIMEOUT_MIN_S <= total <= TIMEOUT_MAX_S else float(total)


def duration_text(seconds: float) -> str:
    """The shortest text of a duration, to the millisecond: 7200.0 is PT2H."""
    minutes, left_ms = divmod(round(seconds * 1_000), 60_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    date = f"{days}D" if days else ""
    time = "".join(
        f"{count:g}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (left_ms / 1_000, "S")) if count
    )
    if not date and not time:
        return "PT0S"
    return f"P{date}T{time}" if time else f"P{date}"


def _exact(text: str) -> Fraction | None:
    found = DURATION.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes, seconds = found.groups("0")
    return int(days) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + Fraction(seconds.replace(",", "."))
