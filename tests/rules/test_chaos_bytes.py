"""The chaos checker knows whether the bytes of a series are what was sent for each ordinal, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.chaos.known import Content, Place, Sent
from tests.chaos.load import digest
from tests.chaos.storage import Storage

BODIES = {1: b"one", 2: b"", 3: b"three", 4: b"fourth"}
OUTCOME = {"series": [{"seriesType": "s", "totalCount": 4, "parts": []}]}


class Holding(Storage):
    """A series that holds these bytes, read in pieces of a few."""

    def __init__(self, content: bytes, piece: int) -> None:
        self._content, self._piece = content, piece

    async def _bytes(self, series: dict[str, Any], wrong: list[str]) -> AsyncIterator[bytes]:
        for at in range(0, len(self._content), self._piece):
            yield self._content[at : at + self._piece]


def content(body: bytes) -> Content:
    return Content(digest(body), len(body), 4)


def sent(*also: tuple[int, bytes]) -> Sent:
    made = Sent("T1")
    for number, (ordinal, body) in enumerate([*BODIES.items(), *also]):
        made.payloads["s", ordinal][content(body)] = [number]
    return made


@pytest.mark.parametrize("piece", [1, 4, 100])
async def test_the_right_bytes_are_right_however_they_are_read(piece: int) -> None:
    committed: dict[Place, Content] = {}
    right = Holding(b"onethreefourth", piece)
    assert await right.wrong_bytes(sent(), OUTCOME, committed) == []
    assert committed == {("s", ordinal): content(body) for ordinal, body in BODIES.items()}


@pytest.mark.parametrize(
    "held",
    [b"threeonefourth", b"onethreefourt", b"onethreefourthx", b"oneThreefourth", b"onethree", b""],
    ids=["swapped", "one byte less", "one byte more", "another byte", "a payload less", "nothing"],
)
async def test_every_wrong_byte_is_seen(held: bytes) -> None:
    assert await Holding(held, 4).wrong_bytes(sent(), OUTCOME, {}) != []


@pytest.mark.parametrize("kept", [b"three", b"3", b"something longer"])
async def test_of_contradicting_payloads_one_is_there_whole(kept: bytes) -> None:
    also = (3, b"3"), (3, b"something longer")
    committed: dict[Place, Content] = {}
    assert await Holding(b"one" + kept + b"fourth", 4).wrong_bytes(sent(*also), OUTCOME, committed) == []
    assert committed["s", 3] == content(kept)


async def test_of_contradicting_payloads_no_mixture_is_right() -> None:
    assert await Holding(b"one3hreefourth", 4).wrong_bytes(sent((3, b"3")), OUTCOME, {}) != []
