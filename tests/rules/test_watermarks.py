"""The watermark never passes a moment at which something was in the queues that has no fact yet, whatever happens."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from playbook import START, seconds

from bridge.contract.events import Watermark
from tables.watermarks import Watermarks, hear

SILENCE_S = 10
SPEAKS_EVERY_S = 2
BRIDGES_MAX = 4


# --- by example


def heard(*records: tuple[float, str, float | None] | tuple[float, str, float | None, str]) -> float | None:
    """What the watermark is after records of (when, bridge, claim, `gone`), in seconds since the owner began at 0."""
    known = Watermarks(since=START)
    for at_s, bridge, claim_s, *gone in records:
        claim = None if claim_s is None else START + seconds(claim_s)
        known = hear(known, Watermark(bridge, claim, bool(gone)), START + seconds(at_s), SILENCE_S)
    return None if known.reached is None else (known.reached - START).total_seconds()


OLD = [(1.0, "a", None), (5.0, "a", 1.0), (9.0, "a", 5.0), (13.0, "a", 11.0)]
"""A bridge that is the only one, and has come so far that nothing from before the owner can be missing."""


@pytest.mark.parametrize(
    ("records", "reached"),
    [
        ([], None),
        ([(1, "a", None)], None),
        ([(1, "a", None), (5, "a", 1), (11, "a", 9.9)], None),
        (OLD, 11),
        ([*OLD, (13.5, "b", None), (14, "a", 13)], 11),
        ([*OLD, (13.5, "b", None), (14, "a", 13), (15, "b", 14.5), (16, "a", 15)], 14.5),
        ([*OLD, (14, "b", 13.5), (15, "a", 14.9)], 13.5),
        ([*OLD, (14, "a", 12), (15, "a", 11.5)], 12),
        ([*OLD, (14, "a", 3)], 11),
        ([*OLD, (14, "b", 13.5), (15, "b", 13.5, "gone"), (16, "a", 15)], 11),
        ([*OLD, (14, "b", 13.5), (15, "b", 13.5, "gone"), (16, "a", 15.1)], 15.1),
        ([*OLD, (14, "b", 13.5), (24, "a", 23)], 13.5),
        ([*OLD, (14, "b", 13.5), (24.1, "a", 24)], 11),
        ([*OLD, (14, "b", 13.5), (24.1, "a", 24), (35, "a", 34.2)], 34.2),
        ([*OLD, (14, "b", 13.5), (24.1, "a", 24), (25, "b", 20), (33, "b", 24), (36, "a", 35), (37, "b", 34.2)], 34.2),
        ([*OLD, (14, "a", 13, "gone"), (90, "c", 89)], 89),
        ([*OLD, (14, "a", 13, "gone")], 11),
        ([(1, "a", 300), (12, "a", 300)], None),
        ([(1, "a", 300), (12, "a", None), (301, "a", None)], None),
        ([(1, "a", 300), (12, "a", 10.5)], 10.5),
    ],
    ids=[
        "nobody", "one that has claimed nothing", "not beyond what may be left from before", "one bridge",
        "one that joins", "one that joins and comes round", "the slower of two", "a claim that was repeated",
        "a claim from before", "one that went, and nobody looked since", "one that went, and somebody looked",
        "one that is silent, but not long", "one that fell silent, and nobody looked",
        "one that fell silent, and somebody looked", "one that came back", "all went, and another came", "all went",
        "a claim by a clock that was set back", "and that is not believed when the clock gets there",
        "a claim by the new clock",
    ],
)  # fmt: skip
def test_the_watermark_is_what_all_can_answer_for(records: Iterable[tuple[float, str, float]], reached: float) -> None:
    assert heard(*records) == reached


def test_what_is_remembered_does_not_grow_with_bridges_that_come_and_die() -> None:
    known = Watermarks(since=START)
    for number in range(500):
        known = hear(known, Watermark(f"b{number}"), START + seconds(number), SILENCE_S)
    assert len(known.bridges) == SILENCE_S + 1


# --- a world of queues and bridges


class Bridge:
    """What one bridge has in hand, and which moment it is about to answer for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.hand: set[int] = set()
        self.spoke_s = -1
        self.join()

    def join(self) -> None:
        """Go on under another name, with nothing in hand and nothing claimed."""
        self.number += 1
        self.claim_s: int | None = None
        self.sample_s: int | None = None
        self.hand = set()
        self.to_leave: set[int] = set()

    @property
    def said(self) -> str:
        return f"{self.name}.{self.number}"


class Bridges(RuleBasedStateMachine):
    """One queue, some bridges, and the owner of one partition, who is told nothing but the partition's records."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0
        self.names = 0
        self.queued_s: dict[int, int] = {}
        """Message -> when it came first."""
        self.queue: list[int] = []
        self.facts: set[int] = set()
        self.stuck: set[int] = set()
        """Messages that are settled only by `settle`."""
        self.bridges: list[Bridge] = []
        self.lost: list[tuple[int, set[int]]] = []
        """What is in hand of nobody any more, and by when the broker notices."""
        self.frozen: list[Bridge] = []
        self.owner: Watermarks | None = None
        self.said: list[tuple[int, str]] = []
        """When which bridge was heard."""

    # What the world does

    @rule(count=st.integers(1, 3))
    def publish(self, count: int) -> None:
        for _ in range(count):
            message = len(self.queued_s)
            self.queued_s[message] = self.now_s
            self.queue.append(message)

    @precondition(lambda self: len(self.bridges) < BRIDGES_MAX)
    @rule()
    def join(self) -> None:
        self.names += 1
        bridge = Bridge(f"b{self.names}")
        self.bridges.append(bridge)
        self.speak(bridge)

    @precondition(lambda self: self.bridges and self.queue)
    @rule(data=st.data(), count=st.integers(1, 3))
    def take(self, data: st.DataObject, count: int) -> None:
        bridge = data.draw(st.sampled_from(self.bridges))
        self.hand_out(bridge, self.queue[:count])

    @precondition(lambda self: any(bridge.hand for bridge in self.bridges))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        bridge = data.draw(st.sampled_from([bridge for bridge in self.bridges if bridge.hand]))
        some = data.draw(st.sets(st.sampled_from(sorted(bridge.hand)), min_size=1))
        bridge.hand -= some
        self.facts |= some

    @precondition(lambda self: self.bridges)
    @rule(data=st.data())
    def one_speaks(self, data: st.DataObject) -> None:
        self.speak(data.draw(st.sampled_from(self.bridges)))

    @precondition(lambda self: self.bridges)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        bridge = data.draw(st.sampled_from(self.bridges))
        self.bridges.remove(bridge)
        self.give_back(bridge.hand)
        self.record(Watermark(bridge.said, self.moment(bridge.claim_s), gone=True))

    @precondition(lambda self: self.bridges)
    @rule(data=st.data(), thaws=st.booleans())
    def fall_silent(self, data: st.DataObject, thaws: bool) -> None:
        """Killed or frozen: what it had in hand comes back when the broker notices."""
        bridge = data.draw(st.sampled_from(self.bridges))
        self.bridges.remove(bridge)
        self.lost.append((bridge.spoke_s + SILENCE_S, bridge.hand))
        bridge.hand = set()
        if thaws:
            self.frozen.append(bridge)

    @precondition(lambda self: self.frozen and len(self.bridges) < BRIDGES_MAX)
    @rule(data=st.data(), says_old_claim=st.booleans())
    def come_back(self, data: st.DataObject, says_old_claim: bool) -> None:
        """Its lanes have ended meanwhile, so it goes on as another bridge; its last words may still be on their way."""
        bridge = data.draw(st.sampled_from(self.frozen))
        self.frozen.remove(bridge)
        if says_old_claim:
            self.record(Watermark(bridge.said, self.moment(bridge.claim_s)))
        bridge.join()
        self.bridges.append(bridge)
        self.speak(bridge)

    @precondition(lambda self: any(bridge.hand for bridge in self.bridges))
    @rule(data=st.data())
    def lane_ends(self, data: st.DataObject) -> None:
        bridge = data.draw(st.sampled_from([bridge for bridge in self.bridges if bridge.hand]))
        self.lost.append((bridge.spoke_s + SILENCE_S, bridge.hand))
        bridge.join()
        self.speak(bridge)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def broker_notices(self, data: st.DataObject) -> None:
        lost = data.draw(st.sampled_from(self.lost))
        self.lost.remove(lost)
        self.give_back(lost[1])

    @precondition(lambda self: self.owner is not None and self.owner.reached is not None)
    @rule(data=st.data(), falls_silent=st.booleans())
    def another_owner(self, data: st.DataObject, falls_silent: bool) -> None:
        """The owner goes, and perhaps a bridge that ran beside it."""
        if falls_silent and self.bridges:
            self.fall_silent(data, thaws=False)
        self.owner = None

    @precondition(lambda self: self.bridges and self.queue)
    @rule(data=st.data())
    def get_stuck(self, data: st.DataObject) -> None:
        """What a bridge has in hand takes longer than anything else."""
        self.take(data, 1)
        self.stuck |= {message for bridge in self.bridges for message in bridge.hand}

    @rule(wait_s=st.integers(1, 2 * SILENCE_S), works=st.booleans())
    def wait(self, wait_s: int, works: bool) -> None:
        """Time passes, in which the bridges do nothing, or everything that is not stuck."""
        for _ in range(wait_s):
            self.now_s += 1
            for lost in [lost for lost in self.lost if lost[0] <= self.now_s]:
                self.lost.remove(lost)
                self.give_back(lost[1])
            for number, bridge in enumerate(self.bridges):
                if works:
                    self.hand_out(bridge, self.queue[number :: len(self.bridges)])
                    done = bridge.hand - self.stuck
                    bridge.hand, self.facts = bridge.hand - done, self.facts | done
                if self.now_s - bridge.spoke_s >= SPEAKS_EVERY_S:
                    self.speak(bridge)

    # How it does it

    def hand_out(self, bridge: Bridge, messages: list[int]) -> None:
        bridge.hand |= {*messages}
        self.queue = [message for message in self.queue if message not in bridge.hand]
        for each in [*self.bridges, *self.frozen]:
            each.to_leave -= bridge.hand  # they have left

    def give_back(self, messages: set[int]) -> None:
        self.queue = [*sorted(messages), *self.queue]

    def moment(self, at_s: int | None) -> object:
        return None if at_s is None else START + seconds(at_s)

    def speak(self, bridge: Bridge) -> None:
        if bridge.sample_s is not None and not bridge.to_leave and not bridge.hand & self.before(bridge.sample_s):
            bridge.claim_s, bridge.sample_s = bridge.sample_s, None
        if bridge.sample_s is None:
            bridge.sample_s, bridge.to_leave = self.now_s, set(self.queue)
        bridge.spoke_s = self.now_s
        self.record(Watermark(bridge.said, self.moment(bridge.claim_s)))

    def before(self, at_s: int) -> set[int]:
        return {message for message, queued_s in self.queued_s.items() if queued_s < at_s}

    def record(self, said: Watermark) -> None:
        self.said.append((self.now_s, said.bridge))
        at = START + seconds(self.now_s)
        before = self.owner or Watermarks(since=at)
        self.owner = hear(before, said, at, SILENCE_S)
        assert self.owner.reached is None or self.owner.reached >= (before.reached or START), "never back"

    @invariant()
    def nobody_is_declared_late(self) -> None:
        if self.owner is not None and self.owner.reached is not None:
            reached_s = (self.owner.reached - START).total_seconds()
            assert self.before(int(reached_s)) <= self.facts

    @invariant()
    def what_is_known_is_bounded(self) -> None:
        # What fell silent is only found out when another bridge is heard.
        if self.owner is not None and self.said and self.said[-1][0] == self.now_s:
            assert self.owner.bridges.keys() <= {name for at_s, name in self.said if at_s >= self.now_s - SILENCE_S}


Bridges.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestBridges = Bridges.TestCase


@pytest.mark.parametrize("bridges", [1, 3])
def test_the_watermark_follows_bridges_that_keep_up(bridges: int) -> None:
    world = Bridges()
    for _ in range(bridges):
        world.join()
    for _ in range(3 * SILENCE_S):
        world.publish(2)
        world.wait(1, works=True)
    assert world.owner is not None
    assert world.owner.reached is not None
    assert world.now_s - (world.owner.reached - START).total_seconds() <= 4 * SPEAKS_EVERY_S
    world.nobody_is_declared_late()
