"""A broker, bridges and the owner of one partition, in steps as small as what can come between them.

A queue hands out in order, and puts back in front what it gets back. A channel sends what its queue has given it, and
while it waits for the queue to answer a question it does not look at what comes meanwhile. Bridges reckon with the
product's own `Claims`, the owner with its own `hear`; neither sees more than it would in earnest.
"""

from __future__ import annotations

import random
from collections import deque
from typing import NamedTuple

from playbook import START, seconds

from bridge.contract.events import Watermark
from bridge.reached import Claims, Seen
from tables.watermarks import Watermarks, hear

INTERVAL_S = 5
NOTICED_S = 15
UNHEARD_MAX_S = 20
SILENCE_S = 40
"""More than the two before it together, as `bridge.watermarks.unheard_max_s` sees to: with 25 a claim is wrong."""
QUEUES = {"large": (2, 1), "small": (1, 50)}
"""Lanes of each bridge, and how much each may have in hand."""


class Delivery(NamedTuple):
    message: int
    again: bool


class Link:
    """A lane and its channel, with everything that is on its way between them."""

    def __init__(self, queue: str, prefetch: int) -> None:
        self.queue, self.prefetch = queue, prefetch
        self.unacked: list[int] = []
        self.mailbox: deque[Delivery | None] = deque()
        """Of the channel; None is a question."""
        self.asking = False
        self.to_lane: deque[Delivery | tuple[int, int]] = deque()
        """Deliveries, and answers: messages that wait, and consumers."""
        self.to_channel: deque[int | None] = deque()
        """Messages that are acknowledged, and questions."""
        self.cut = self.closed = False
        """The wire is; the lane is."""
        self.notices_s: int | None = None
        """When the broker does, at the latest."""
        self.noticed = False
        self.hand: dict[int, int] = {}
        """Tag -> message."""
        self.taken = self.in_order = 0
        self.settled_below = 1
        self.settled: set[int] = set()
        self.answer: Seen | None = None

    def seen(self, waiting: int, consumers: int) -> Seen:
        while self.settled_below in self.settled:
            self.settled_below += 1
        return Seen(waiting, consumers, self.taken, self.in_order, self.settled_below - 1)


class Bridge:
    def __init__(self, name: str, now_s: int) -> None:
        self.claims = Claims(name, QUEUES)
        self.links: list[Link] = []
        self.heard_s = self.spoke_s = now_s
        self.deaf_until_s = self.frozen_until_s = 0
        """Kafka does not hear it; it does nothing at all."""
        self.round: tuple[str, int, list[Link]] | None = None


class World:
    """One run of it; `reached_s` is the watermark, in seconds since the start."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_s = 0
        self.ready: dict[str, list[Delivery]] = {queue: [] for queue in QUEUES}
        self.published = 0
        self.skews = False
        self.skew_s = 0
        """How far the clock of the partition's broker is ahead."""
        self.queued_s: dict[int, int] = {}
        """Of messages that have no fact, by the broker's clock."""
        self.late: set[int] = set()
        """Messages that came when the owner's watermark was beyond the clock already, because it was set back."""
        self.stuck: set[int] = set()
        self.bridges: list[Bridge] = []
        self.orphans: list[Link] = []
        """Channels whose lanes are gone."""
        self.born = 0
        self.owner: Watermarks | None = None
        self.false_answers = 0.0
        """How often the queue is too busy to answer, so that the channel says 0 and 0."""

    @property
    def reached_s(self) -> float | None:
        reached = self.owner.reached if self.owner else None
        return None if reached is None else (reached - START).total_seconds()

    @property
    def clock_s(self) -> int:
        """What the partition's broker says the time is."""
        return self.now_s + self.skew_s

    # What is known of it all in the partition

    def record(self, said: Watermark) -> None:
        at = START + seconds(self.clock_s)
        self.owner = hear(self.owner or Watermarks(since=at), said, at, SILENCE_S)
        self.check()

    def check(self) -> None:
        if (reached_s := self.reached_s) is not None:
            late = [number for number, at_s in self.queued_s.items() if at_s < reached_s and number not in self.late]
            assert not late, f"at {self.now_s} s the watermark is {reached_s:g} s; without a fact: {late}"

    def change_owner(self) -> None:
        """Whoever takes over knows of nothing."""
        self.owner = None
        self.late.clear()

    def set_clock(self, skew_s: int) -> None:
        """Another broker leads the partition, or somebody mends the clock of this one."""
        self.skew_s = skew_s
        if self.chance.random() < 0.5:
            self.change_owner()

    # What producers and the broker do

    def publish(self, queue: str, count: int = 1) -> None:
        for _ in range(count):
            self.published += 1
            self.queued_s[self.published] = self.clock_s
            if (self.reached_s or 0) > self.clock_s:
                self.late.add(self.published)
            self.ready[queue].append(Delivery(self.published, again=False))

    def links(self) -> list[Link]:
        """Those that the broker believes in, or the lane."""
        return [*self.orphans, *(link for bridge in self.bridges for link in bridge.links)]

    def hand_out(self, link: Link) -> None:
        if not link.noticed and len(link.unacked) < link.prefetch and self.ready[link.queue]:
            delivery = self.ready[link.queue].pop(0)
            link.unacked.append(delivery.message)
            link.mailbox.append(delivery)

    def channel(self, link: Link) -> None:
        """One step of a channel."""
        if link.asking:
            link.asking = False
            consumers = sum(each.queue == link.queue and not each.noticed for each in self.links())
            busy = self.chance.random() < self.false_answers
            link.to_lane.append((0, 0) if busy else (len(self.ready[link.queue]), consumers))
        elif link.mailbox and (self.chance.random() < 0.5 or not link.to_channel or link.cut):
            if (what := link.mailbox.popleft()) is None:
                link.asking = True
            else:
                link.to_lane.append(what)
        elif link.to_channel and not link.cut:
            if (told := link.to_channel.popleft()) is None:
                link.mailbox.append(None)
            else:
                link.unacked.remove(told)

    def notice(self, link: Link) -> None:
        """The broker knows that a lane is gone, and puts back what it had."""
        self.ready[link.queue][:0] = [Delivery(message, again=True) for message in link.unacked]
        link.unacked = []
        # The lane sees it later, and may go on until then with what it has in hand.
        link.noticed = link.cut = True
        if link in self.orphans:
            self.orphans.remove(link)

    # What bridges do

    def join(self) -> Bridge:
        self.born += 1
        bridge = Bridge(f"b{self.born}", self.now_s)
        self.say(bridge)
        self.bridges.append(bridge)
        self.open(bridge)
        return bridge

    def say(self, bridge: Bridge) -> None:
        """Be heard."""
        self.record(*bridge.claims.words(1))
        bridge.claims.stamped((START + seconds(self.clock_s),))

    def open(self, bridge: Bridge) -> None:
        for queue, (count, prefetch) in QUEUES.items():
            have = sum(link.queue == queue for link in bridge.links)
            bridge.links += [Link(queue, prefetch) for _ in range(count - have)]

    def end(self, bridge: Bridge, link: Link) -> None:
        """The lane sees that it is gone, or cuts itself."""
        bridge.links.remove(link)
        link.cut = link.closed = True
        if link.notices_s is None:
            link.notices_s = self.now_s + self.chance.randint(0, NOTICED_S)
        if not link.noticed:
            self.orphans.append(link)
        bridge.claims.lane_ended()

    def receive(self, link: Link) -> None:
        if link.cut or not link.to_lane:
            return
        what = link.to_lane.popleft()
        if isinstance(what, Delivery):
            link.taken += 1
            link.in_order += not what.again
            link.hand[link.taken] = what.message
        else:
            link.answer = link.seen(*what)

    def settle(self, bridge: Bridge, link: Link) -> None:
        tags = [tag for tag, message in link.hand.items() if message not in self.stuck]
        if tags and bridge.deaf_until_s <= self.now_s:
            tag = self.chance.choice(tags)
            message = link.hand.pop(tag)
            self.queued_s.pop(message, None)
            link.settled.add(tag)
            link.to_channel.append(message)

    def speak(self, bridge: Bridge) -> None:
        bridge.spoke_s = self.now_s
        if bridge.deaf_until_s > self.now_s:
            return
        self.say(bridge)
        bridge.heard_s = self.now_s
        self.open(bridge)
        if bridge.round is None and bridge.links:
            bridge.round = bridge.claims.name, self.clock_s, list(bridge.links)
            for link in bridge.links:
                link.answer = None
                link.to_channel.append(None)

    def look(self, bridge: Bridge) -> None:
        """The end of a round, when there is one."""
        if bridge.round is None:
            return
        name, moment_s, links = bridge.round
        if any(link.closed for link in links):
            bridge.round = None
        elif all(link.answer is not None for link in links):
            bridge.round = None
            found: dict = {}
            for link in links:
                found.setdefault(link.queue, {})[link] = link.answer
            bridge.claims.look(name, (START + seconds(moment_s),), found)

    def clocks(self, bridge: Bridge) -> None:
        if self.now_s - bridge.heard_s > UNHEARD_MAX_S:
            for link in list(bridge.links):
                self.end(bridge, link)
        if self.now_s - bridge.spoke_s >= INTERVAL_S:
            self.speak(bridge)

    # What happens to them

    def kill(self, bridge: Bridge) -> None:
        self.bridges.remove(bridge)
        for link in list(bridge.links):
            self.end(bridge, link)

    def cut(self, link: Link) -> None:
        """Nothing passes any more, and neither side knows."""
        link.cut = True
        if link.notices_s is None:
            link.notices_s = self.now_s + self.chance.randint(0, NOTICED_S)

    def freeze(self, bridge: Bridge, for_s: int) -> None:
        bridge.frozen_until_s = self.now_s + for_s
        if for_s > NOTICED_S:
            for link in bridge.links:
                link.notices_s = link.notices_s if link.notices_s is not None else self.now_s + NOTICED_S

    # Time

    def step(self) -> None:
        """Something small."""
        link = self.chance.choice(self.links() or [None])
        if link is None:
            return
        bridge = next((each for each in self.bridges if link in each.links), None)
        what = self.chance.randrange(5)
        if what == 0:
            self.hand_out(link)
        elif what == 1:
            self.channel(link)
        elif bridge is not None and bridge.frozen_until_s <= self.now_s:
            if what == 2:
                self.receive(link)
            elif what == 3:
                self.settle(bridge, link)
            else:
                self.look(bridge)

    def tick(self, steps: int) -> None:
        """A second passes."""
        for _ in range(steps):
            self.step()
        self.now_s += 1
        for link in self.links():
            if link.notices_s is not None and not link.noticed and link.notices_s <= self.now_s:
                self.notice(link)
        for bridge in list(self.bridges):
            if bridge.frozen_until_s > self.now_s:
                continue
            for link in list(bridge.links):
                # A lane whose wire is cut finds out at some time: by its heartbeats, or because the broker says so.
                if link.cut and self.chance.random() < 0.2:
                    self.end(bridge, link)
            self.look(bridge)
            self.clocks(bridge)
