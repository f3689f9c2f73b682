"""Lengths of time as people say them. Pure."""

from __future__ import annotations

from datetime import datetime


def span_text(seconds: float) -> str:
    """Such as `7 s`, `3 min`, `2 h 5 min`, `4 d 6 h`: two units at most, rounded down."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3_600, whole // 86_400
    if minutes < 60:
        return f"{minutes} min"
    great, small = (f"{hours} h", f"{minutes % 60} min") if hours < 48 else (f"{days} d", f"{hours % 24} h")
    return great if small.startswith("0 ") else f"{great} {small}"


def from_now(moment: str, now: datetime) -> str:
    """An RFC 3339 time as `in 7 s` or `3 min ago`."""
    seconds = (datetime.fromisoformat(moment) - now).total_seconds()
    return f"in {span_text(seconds)}" if seconds > 0 else f"{span_text(-seconds)} ago"
