"""Couriers on a storage, and what must be true of a transaction when all of them are done."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from bridge.blobs import Blobs, Listed
from bridge.checksums import crc64, hex16
from bridge.contract.events import Delivered, DeliveryRefused
from bridge.layout import PartName, part_name, part_ordinals
from streams.courier import Courier
from streams.post import Post
from streams.settings import DeliverySettings
from tables.effects import Effect
from tests.support.posted import Posted
from tests.support.result import Result
from tests.support.stepped import Step, Stepped

ATTEMPTS_MAX = 4
SETTINGS = DeliverySettings(commits_in_flight=2, instance="lab")


def courier(blobs: Blobs, posted: Posted, step: Step | None = None, settings: DeliverySettings = SETTINGS) -> Courier:
    """One process's courier; `step` is asked at everything that it does to the world."""
    told: Any = posted if step is None else Stepped(posted, step)
    storage: Any = blobs if step is None else Stepped(blobs, step)
    return Courier(storage, Post(told, told.publish_outcome, "lab"), settings)


async def deliver(one: Courier, effect: Effect) -> Delivered:
    """As the tracker does: ask again while it is refused."""
    refusals: list[DeliveryRefused] = []
    for _ in range(ATTEMPTS_MAX):
        answer = await one.carry_out(effect)
        if isinstance(answer, Delivered):
            return answer
        assert isinstance(answer, DeliveryRefused)
        refusals.append(answer)
    raise AssertionError(f"refused for ever: {[(each.problem.code, each.problem.detail) for each in refusals]}")


async def below(blobs: Blobs, transaction: str) -> list[Listed]:
    """Everything that is left of a transaction."""
    found: list[Listed] = []
    after: str | None = None
    while True:
        page = await blobs.page(f"{transaction}/", after=after)
        found += page.blobs
        if (after := page.after) is None:
            return found


async def committed_parts(blobs: Blobs, transaction: str) -> list[str]:
    names = [each.name for each in await below(blobs, transaction) if PartName.parse(each.name)]
    return [name for name in names if await blobs.properties(name) is not None]


async def outcome_of(blobs: Blobs, transaction: str) -> dict[str, Any]:
    content = await blobs.read(f"{transaction}/_outcome.json")
    assert content is not None, "there is no outcome"
    outcome: dict[str, Any] = json.loads(content.body)
    return outcome


async def assert_bytes(blobs: Blobs, result: Result, outcome: dict[str, Any]) -> None:
    """Every part is the payloads of the ordinals that the outcome says, in order, and nothing else."""
    assert outcome["outcome"] == "Completed"
    for series in outcome["series"]:
        payloads = result.series.get(series["seriesType"], [])
        ranges = series["received"] if outcome["partial"] else [[1, len(payloads)]]
        held = [ordinal for first, last in ranges for ordinal in range(first, last + 1)]
        left = {ordinal: payloads[ordinal - 1] for ordinal in held}
        for part in series["parts"]:
            found = PartName.parse(part["uri"][-len(result.part(series["seriesType"])) :])
            assert found is not None
            mine = [n for n in part_ordinals(found.part, len(payloads)) if n in left]
            content = await blobs.read(part_name(*found))
            assert content is not None
            assert content.body == b"".join(left.pop(n) for n in mine)
            assert (part["bytes"], part["etag"], part["crc64"]) == (
                len(content.body),
                content.etag,
                hex16(crc64([content.body])),
            )
        assert not left, f"{series['seriesType']}: said to be received and in no part"
        assert series["bytes"] == sum(part["bytes"] for part in series["parts"])


async def assert_consistent(blobs: Blobs, posted: Posted, transaction: str, answers: list[Delivered]) -> dict[str, Any]:
    """What nobody who looks from outside may ever see otherwise; returns the outcome."""
    outcome = await outcome_of(blobs, transaction)
    assert {answer.outcome for answer in answers} == {outcome["outcome"]}
    assert len({answer.notification_id for answer in answers}) == 1
    listed = [part["uri"] for series in outcome["series"] for part in series["parts"]]
    assert sorted(blobs.uri(name) for name in await committed_parts(blobs, transaction)) == sorted(listed)
    told = [event for where, event in posted.sent if where != "queue:brh.orphans"]
    said = [msgspec.json.encode(event) for event in told if event.type.endswith(f"{outcome['outcome'].lower()}.v1")]
    assert len({hashlib.sha256(each).digest() for each in said}) == 1, "copies of a notification differ"
    assert {event.type for event in told} == {json.loads(said[0])["type"]}, "two outcomes were told"
    marker = await blobs.read(f"{transaction}/_told.json")
    assert marker is not None
    assert json.loads(marker.body)["notificationId"] == json.loads(said[0])["id"]
    return outcome
