"""When the storage SDK asks again what has failed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

from azure.storage.blob.aio import ExponentialRetry

RETRIES: Final = 5
"""After the first attempt: about half a minute in all. Whoever needs storage has a longer patience of its own."""
PAUSE_FIRST_S: Final = 1.0
RETRY_AFTER_MAX_S: Final = 60.0
"""What the service may ask for; more would hold a request, and what it holds, for longer than asking costs."""


class Backoff(ExponentialRetry):
    """Pauses of about 1, 2, 4, ... times the first one, half of each by chance, and no shorter than `Retry-After`.

    The SDK's own begin at 3 s and do not look at what the service asks for.
    """

    def __init__(self, count: int = RETRIES, *, first_s: float = PAUSE_FIRST_S) -> None:
        """`count` attempts after the first one, the first of them after about `first_s` seconds."""
        # The total alone would not do: the SDK also counts failed connections, broken replies and bad answers, to 3.
        super().__init__(retry_total=count, retry_connect=count, retry_read=count, retry_status=count)
        self._first_s = first_s

    def get_backoff_time(self, settings: Mapping[str, Any]) -> float:
        """Seconds, as the SDK asks for them; `settings` is what it knows of the attempts until now."""
        longest = self._first_s * 2.0 ** max(0, settings["count"] - 1) * 1.5
        pause_s: float = longest * random.uniform(1 / 3, 1.0)  # noqa: S311  # spreads load, guards nothing
        history = settings["history"]
        return max(pause_s, retry_after_s(history[-1].http_response) if history else 0.0)


def retry_after_s(answer: Any) -> float:
    """What the service asks for, up to the limit; 0 where it says nothing, or a date, which Azure does not."""
    said: str = answer.headers.get("Retry-After", "") if answer is not None else ""
    return min(RETRY_AFTER_MAX_S, float(said)) if said.isascii() and said.isdigit() else 0.0
