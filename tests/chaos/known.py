"""What the checker knows of producers: their ledger, folded. It knows nothing of the product."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Place: TypeAlias = tuple[str, int]
"""A series and an ordinal."""


class Content(NamedTuple):
    """What was sent for a place."""

    sha: str
    size: int
    total: int


@dataclass
class Sent:
    """Everything that was to be sent of one transaction. Messages are numbers; those that were confirmed have times."""

    transaction: str
    headers: dict[str, list[int]] = field(default_factory=dict)
    """By what they say."""
    payloads: dict[Place, dict[Content, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    bad: dict[int, dict[str, Any]] = field(default_factory=dict)
    confirmed: dict[int, tuple[float, float]] = field(default_factory=dict)
    """When the last attempt to publish it began, and when the broker had it."""
    reply_to: str | None = None
    began: float = 0.0
    """Nothing was published before."""

    @property
    def header(self) -> dict[str, Any] | None:
        """What the first header says, where one was sent."""
        return next((json.loads(text) for text in self.headers), None)

    @property
    def good(self) -> list[int]:
        """The messages that have to be taken."""
        return [m for of in self.headers.values() for m in of] + [
            m for by_content in self.payloads.values() for of in by_content.values() for m in of
        ]

    def total_of(self, series: str) -> set[int]:
        """How many payloads the series is said to have, by all who say so."""
        return {content.total for (name, _), by in self.payloads.items() if name == series for content in by} | {
            each["totalCount"]
            for text in self.headers
            for each in json.loads(text)["series"]
            if each["type"] == series and "totalCount" in each
        }

    @property
    def contradicts_itself(self) -> bool:
        """Two headers, two contents for a place, two totals of a series."""
        if len(self.headers) > 1 or any(len({(c.sha, c.size) for c in by}) > 1 for by in self.payloads.values()):
            return True
        return any(len(self.total_of(name)) > 1 for name in {name for name, _ in self.payloads})

    def header_at(self) -> float | None:
        """When the broker had the first header."""
        times = [self.confirmed[m][1] for of in self.headers.values() for m in of if m in self.confirmed]
        return min(times, default=None)

    def place_at(self, place: Place) -> float | None:
        """When the broker had the first payload for a place."""
        times = [
            self.confirmed[m][1] for of in self.payloads.get(place, {}).values() for m in of if m in self.confirmed
        ]
        return min(times, default=None)

    def complete_at(self) -> float | None:
        """When the broker had all that makes the transaction whole; None: it never had."""
        header, latest = self.header, self.header_at()
        if header is None or latest is None:
            return None
        for each in header["series"]:
            totals = self.total_of(each["type"])
            if not totals:
                return None
            for ordinal in range(1, min(totals) + 1):
                at = self.place_at((each["type"], ordinal))
                if at is None:
                    return None
                latest = max(latest, at)
        return latest


class Known:
    """The whole ledger."""

    def __init__(self) -> None:
        self.transactions: dict[str, Sent] = {}
        self._of: dict[int, str] = {}
        self.done = False
        """Nothing more will be sent."""

    @property
    def confirmed(self) -> int:
        """Messages."""
        return sum(len(each.confirmed) for each in self.transactions.values())

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """More of it."""
        for record in records:
            match record["op"]:
                case "send":
                    self._send(record)
                case "confirmed":
                    self.transactions[self._of[record["m"]]].confirmed[record["m"]] = record["began"], record["at"]
                case "done":
                    self.done = True

    def _send(self, record: dict[str, Any]) -> None:
        number, name = record["m"], record["t"]
        sent = self.transactions.setdefault(name, Sent(name, began=record["at"]))
        self._of[number] = name
        match record["kind"]:
            case "header":
                sent.headers.setdefault(json.dumps(record["header"], sort_keys=True), []).append(number)
                sent.reply_to = sent.reply_to or record["reply_to"]
            case "payload":
                content = Content(record["sha"], record["size"], record["n"])
                sent.payloads[record["s"], record["o"]].setdefault(content, []).append(number)
            case _:
                sent.bad[number] = record
