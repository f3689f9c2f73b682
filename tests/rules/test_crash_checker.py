"""The checker of the crash campaign finds what is wrong: each of these worlds is right but for one thing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bridge.memory_blobs import MemoryBlobs
from tests.crash.checker import violations
from tests.crash.outside import Told
from tests.crash.sent import Ledger, Sent
from tests.support.deliveries import courier
from tests.support.posted import Posted
from tests.support.result import Result


class World:
    """One transaction that has completed, one that has failed, and what was told of them."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.posted = Posted()
        self.kind = "none"
        self.world = SimpleNamespace(name="results")
        self.outside: Any = SimpleNamespace(
            told=defaultdict(list),
            replies=defaultdict(list),
            orphans=defaultdict(list),
            outcomes=defaultdict(list),
            dead=[],
            parked=[],
        )
        self.good = Sent("T1", {"a": [b"one", b"two"], "b": [b"three"]})
        self.bad = Sent("T2", {"a": [b"one", b"two"]}, outcome="Failed", code="completion-timeout")
        self.ledger = Ledger([self.good, self.bad], refused=["m-1"], unreadable=[b"?"], gone=["T3"])

    async def happen(self) -> None:
        one = courier(self.blobs, self.posted)
        for sent in self.ledger.sent:
            result = Result(sent.series, name=sent.transaction)
            await result.stage_all(self.blobs)
            await self.blobs.write_once(f"{sent.transaction}/_header.json", b"{}", content_type="a/b", metadata={})
            await one.carry_out(result.completed() if sent is self.good else result.failed())
        for where, event in self.posted.sent:
            told = Told(event.id, msgspec.json.encode(event))
            if where == "kafka":
                self.outside.outcomes[event.subject].append(told.body)
            else:
                self.outside.told[event.subject].append(told)
        rejected = {"type": "brh.message.rejected.v1", "data": {"messageId": "m-1"}}
        self.outside.told[""].append(Told("r-1", json.dumps(rejected).encode()))
        self.outside.dead.append("m-1")
        self.outside.parked.append(b"?")

    def told_again(self, **changes: Any) -> None:
        """The good one was told once more, and a little differently."""
        (copy,) = self.outside.told["T1"]
        body = json.loads(copy.body) | changes
        self.outside.told["T1"].append(Told(changes.get("id", copy.message_id), json.dumps(body).encode()))

    def other_body(self, name: str) -> None:
        blob = self.blobs._committed[name]
        self.blobs._committed[name] = blob._replace(body=blob.body[::-1])

    def remove(self, name: str) -> None:
        del self.blobs._committed[name]

    def commit(self, name: str) -> None:
        blob = self.blobs._committed["T1/a/part-00000"]
        self.blobs._committed[name] = blob

    def other_etag(self, name: str) -> None:
        blob = self.blobs._committed[name]
        self.blobs._committed[name] = blob._replace(properties=replace(blob.properties, etag="other"))


@pytest.fixture
async def world() -> World:
    made = World()
    await made.happen()
    return made


async def test_what_is_right_is_right(world: World) -> None:
    assert await violations(world, world.ledger) == []  # type: ignore[arg-type]
    world.outside.told["T1"] *= 3
    world.outside.replies["T1"] += world.outside.told["T1"]
    world.good.reply = True
    world.good.either["a", 2] = b"other"
    assert await violations(world, world.ledger) == [], "copies are copies"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda it: it.other_body("T1/a/part-00000"), "is not what the outcome says"),
        (lambda it: it.other_etag("T1/b/part-00000"), "is not what the outcome says"),
        (lambda it: it.remove("T1/a/part-00000"), "is not what the outcome says"),
        (lambda it: it.good.series["a"].reverse(), "series a has other bytes than were sent"),
        (lambda it: it.good.series.pop("b"), "lists other series"),
        (lambda it: it.remove("T1/_told.json"), "T1: has no marker"),
        (lambda it: it.remove("T2/_outcome.json"), "T2: has no outcome"),
        (lambda it: it.remove("T1/_header.json"), "T1: holds"),
        (lambda it: it.commit("T2/a/part-00000"), "T2: holds ['T2/a/part-00000']"),
        (lambda it: it.commit("T1/c/part-00000"), "T1: holds ['T1/c/part-00000']"),
        (lambda it: it.commit("T3/_outcome.json"), "T3: is over"),
        (lambda it: it.outside.told["T3"].append(it.outside.told["T1"][0]), "T3: was told"),
        (lambda it: setattr(it.bad, "outcome", "Completed"), "T2: is Failed (completion-timeout), not Completed"),
        (lambda it: setattr(it.bad, "code", "timeout"), "not Failed (timeout)"),
        (lambda it: setattr(it.good, "received", {"a": [1, 2], "b": [1]}), "T1: is not partial"),
        (lambda it: it.told_again(id="other"), "was told in 2 ways"),
        (lambda it: it.told_again(time="later"), "was told in 2 ways"),
        (lambda it: it.told_again(data={}), "what was told is not what is written"),
        (lambda it: it.other_etag("T1/_outcome.json"), "what was told is not what is written"),
        (lambda it: it.outside.told["T2"].clear(), "T2: was not told to the outbound exchange"),
        (lambda it: it.outside.outcomes["T2"].clear(), "T2: is not on the topic of outcomes"),
        (lambda it: setattr(it.good, "reply", True), "T1: was not told to the queue in reply_to"),
        (lambda it: setattr(it.good, "orphans", True), "T1: has 0 different records of orphans"),
        (lambda it: it.outside.orphans["T2"].append(Told("o-1", b"{}")), "T2: has 1 different records of orphans"),
        (lambda it: it.outside.dead.clear(), "1 refused messages are not among the dead letters"),
        (lambda it: it.outside.told[""].clear(), "rejections are told under these ids: {'m-1': set()}"),
        (lambda it: it.outside.told[""].append(Told("r-2", it.outside.told[""][0].body)), "rejections are told"),
        (lambda it: it.outside.parked.clear(), "1 unreadable records are not parked"),
    ],
)
async def test_what_is_wrong_is_found(world: World, wrong: Callable[[World], None], said: str) -> None:
    wrong(world)
    found = await violations(world, world.ledger)  # type: ignore[arg-type]
    assert [each for each in found if said in each], found
