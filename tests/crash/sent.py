"""What producers have sent, and what has to become of it: all that the checker knows beforehand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import aio_pika

from tests.crash.outside import REPLIES, Outside

SMALL_BYTES: Final = 256 << 10


@dataclass
class Sent:
    """One transaction."""

    transaction: str
    series: dict[str, list[bytes]] = field(default_factory=dict)
    """The payloads of the series that its header lists, in order."""
    outcome: str = "Completed"
    code: str | None = None
    """Of the problem, where it does not complete."""
    either: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """Other payloads for some ordinals: nobody outside can tell which of the two was first."""
    received: dict[str, list[int]] | None = None
    """Of a partial result: the ordinals that were sent."""
    header: bool = True
    orphans: bool = False
    reply: bool = False
    """Its header names a queue of ours."""


@dataclass
class Ledger:
    """Everything of one run."""

    sent: list[Sent] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Ids of messages that break the contract."""
    unreadable: list[bytes] = field(default_factory=list)
    """Records that no version can read."""
    gone: list[str] = field(default_factory=list)
    """Transactions whose time is over: nothing of them may be left, and nobody is told."""


def fresh(series: dict[str, Sequence[int]], **more: Any) -> Sent:
    """A transaction whose payloads have these sizes."""
    name = f"T-{uuid4().hex[:12]}"
    source = random.Random(name)
    return Sent(name, {each: [source.randbytes(size) for size in sizes] for each, sizes in series.items()}, **more)


class Producer:
    """Sends messages; what it returns from has been confirmed."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def all_of(self, sent: Sent, *, header_at: float, duplicates: int = 0) -> None:
        """Everything of a transaction in any order; `header_at` is the place of the header among it, from 0 to 1."""
        source = random.Random(f"order of {sent.transaction}")
        payloads = [
            self.payload(sent, series, ordinal)
            for series, bodies in sent.series.items()
            for ordinal in range(1, len(bodies) + 1)
        ]
        payloads += [source.choice(payloads) for _ in range(duplicates)] if payloads else []
        source.shuffle(payloads)
        payloads.insert(round(header_at * len(payloads)), self.header(sent))
        await self.publish(payloads)

    async def some_of(self, sent: Sent, series: str, ordinals: Iterable[int]) -> None:
        await self.publish([self.payload(sent, series, ordinal) for ordinal in ordinals])

    def header(self, sent: Sent, **more: Any) -> tuple[str, aio_pika.Message]:
        series = [{"type": each, "totalCount": len(bodies)} for each, bodies in sent.series.items()]
        message = aio_pika.Message(
            json.dumps({"series": series, **more}).encode(),
            type="brh.header.v1",
            content_type="application/json",
            correlation_id=sent.transaction,
            message_id=uuid4().hex,
            reply_to=REPLIES if sent.reply else None,
            delivery_mode=2,
        )
        return "header.default", message

    def payload(
        self, sent: Sent, series: str, ordinal: int, body: bytes | None = None, *, total: int = 0, **headers: Any
    ) -> tuple[str, aio_pika.Message]:
        """A payload of the transaction; another body, or none of its series, where that is wanted."""
        mine = sent.series[series][ordinal - 1] if body is None else body
        known = {
            "brh_series_type": series,
            "brh_ordinal": ordinal,
            "brh_total_count": total or len(sent.series[series]),
            "brh_sha256": hashlib.sha256(mine).hexdigest(),
        }
        message = aio_pika.Message(
            mine,
            type="brh.payload.v1",
            correlation_id=sent.transaction,
            message_id=uuid4().hex,
            headers=known | headers,
            delivery_mode=2,
        )
        return f"{'small' if len(mine) < SMALL_BYTES else 'payload'}.{series}", message

    async def publish(self, messages: list[tuple[str, aio_pika.Message]]) -> None:
        """In this order, as far as one connection keeps it."""
        await asyncio.gather(*(self._outside.inbound.publish(message, key) for key, message in messages))
