"""Whatever is settled in whatever order: the broker is told each tag once, and nothing that is still in hand."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.base import Frame

from bridge.lane import Lane
from tests.support.scripted_broker import Inbox


class Broker:
    """What a broker knows of a channel, and would close it for."""

    closed = None

    def __init__(self, delivered: int) -> None:
        self.unsettled = set(range(1, delivered + 1))
        self.frames = 0

    def send(self, *methods: Frame) -> None:
        for method in methods:
            self.frames += 1
            assert isinstance(method, commands.Basic.Ack | commands.Basic.Reject)
            assert method.delivery_tag in self.unsettled, "PRECONDITION_FAILED - unknown delivery tag"
            if getattr(method, "multiple", False):
                self.unsettled -= set(range(1, method.delivery_tag + 1))
            else:
                self.unsettled.remove(method.delivery_tag)


class Settling:
    def __init__(self, delivered: int) -> None:
        self.lane = Lane(Inbox().accept, "lane")
        self.broker = self.lane._connection = Broker(delivered)

    def waited(self) -> None:
        """As long as an acknowledgement may."""
        self.lane._acknowledge()


Group = tuple[int, bool, bool]
"""How many are settled together, whether by rejection, and whether nothing more comes for a while."""


@given(st.permutations(range(1, 16)), st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), max_size=12))
async def test_in_any_order_each_is_settled_once_and_nothing_else(order: list[int], groups: list[Group]) -> None:
    settling = Settling(15)
    at = 0
    for size, reject, wait in groups:
        tags = order[at : at + size]
        at += size
        if reject:
            for tag in tags:
                settling.lane.reject(tag)
        else:
            settling.lane.ack(tags)
        in_hand = set(order[at:])
        assert settling.broker.unsettled >= in_hand
        if wait:
            settling.waited()
            assert settling.broker.unsettled == in_hand
    settling.lane.ack(order[at:])
    settling.waited()
    assert settling.broker.unsettled == set()
    settling.broker.unsettled = {16, 17}
    frames = settling.broker.frames
    settling.lane.ack([16, 17])
    assert settling.broker.frames == frames + 1, "it was forgotten that all before was settled"
    assert len(settling.lane._settled) == 0


async def test_thousands_in_order_are_one_frame() -> None:
    settling = Settling(4_096)
    settling.lane.ack(range(1, 4_097))
    assert settling.broker.frames == 1


async def test_what_is_settled_backwards_is_one_frame_and_what_stays_open_keeps_nobody_waiting() -> None:
    settling = Settling(100)
    for tag in range(100, 2, -1):
        settling.lane.ack([tag])
    assert settling.broker.frames == 0
    settling.lane.ack([1])
    assert settling.broker.frames == 1
    async with asyncio.timeout(10):
        while settling.broker.unsettled != {2}:
            await asyncio.sleep(0.01)
