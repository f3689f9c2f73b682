"""ISO 8601 durations of days, hours, minutes and seconds, such as `PT10M`. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from bridge.contract.inbound import TIMEOUT_MAX_S, TIMEOUT_MIN_S

_DURATION = re.compile(
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


def _exact(text: str) -> Fraction | None:
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes, seconds = found.groups("0")
    return int(days) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + Fraction(seconds.replace(",", "."))
