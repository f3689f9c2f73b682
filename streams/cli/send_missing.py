"""Send what is missing, in as many rounds as it takes: one answer of the API names at most 1,000 ranges a series.

A round sends what is named and was not sent before in this run, so no payload goes twice and there is an end. The next
one begins when what was sent has arrived, because the API then names what comes behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from msgspec.structs import replace

from streams.cli.missing import Missing
from streams.cli.producer import Progress, SendSummary
from tables.ordinals import Ordinals

ARRIVE_MAX_S: Final = 60.0
"""Without any news from the API of what was sent: bridges and trackers that run take a second or two."""
_POLL_S: Final = 0.5

Ask: TypeAlias = Callable[[], Awaitable[Missing]]
"""What is missing by now. Raises CliError."""
Tell: TypeAlias = Callable[[Progress], None]


class Send(Protocol):
    """Send this much, and tell how far that is. Raises CliError."""

    def __call__(self, *, only: Missing, on_progress: Tell) -> Awaitable[SendSummary]:
        """Returns when the broker has confirmed it."""
        ...


async def send_missing(
    missing: Missing,
    ask: Ask,
    send: Send,
    tell: Tell,
    *,
    header_last: bool = False,
    pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> tuple[SendSummary, bool]:
    """Send all that is missing; what was sent altogether, and whether something is left that nobody has named.

    `missing` is what the API has named. `header_last`: a header that is missing goes with the last round. Raises what
    `ask` and `send` raise.
    """
    started_s = time.monotonic()
    header, total = missing.header, missing.payloads
    sent: dict[str, Ordinals] = {}
    summary: SendSummary | None = None
    while True:
        with_header = header and not (header_last and missing.cut)
        now = await send(only=replace(missing, header=with_header), on_progress=_on_top(summary, total, tell))
        summary = now if summary is None else summary.plus(now)
        header, sent = header and not with_header, missing.added_to(sent)
        following = await _following(ask, sent, pause) if missing.cut else Missing({})
        if following is None or not (following.ordinals or header):
            return replace(summary, seconds=round(time.monotonic() - started_s, 3)), following is None
        missing = following


async def _following(
    ask: Ask, sent: Mapping[str, Ordinals], pause: Callable[[float], Awaitable[Any]]
) -> Missing | None:
    """What is to be sent next, once what was sent has arrived; None where that stands still and nothing is left."""
    before: Missing | None = None
    until_s = 0.0
    while True:
        named = await ask()
        fresh = named.without(sent)
        arrived = named.payloads == fresh.payloads
        if not named.cut or (fresh.ordinals and arrived):
            return fresh
        now_s = time.monotonic()
        if named != before:
            before, until_s = named, now_s + ARRIVE_MAX_S
        elif now_s >= until_s:
            return fresh if fresh.ordinals else None
        await pause(_POLL_S)


def _on_top(done: SendSummary | None, total: int, tell: Tell) -> Tell:
    """Tell of a round on top of what was `done` in earlier ones; `total` payloads were missing at first."""
    messages, size = (done.payloads, done.bytes) if done else (0, 0)

    def told(now: Progress) -> None:
        messages_of = max(total, messages + now.messages_of)
        size_of = size + now.bytes_of * (messages_of - messages) // max(1, now.messages_of)
        tell(Progress(messages + now.messages, messages_of, size + now.bytes, max(size_of, size + now.bytes)))

    return told
