"""Whatever is settled in whatever order: the broker is told each tag once, and nothing that is still in hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.base import Frame

from bridge.lane import Lane
from tests.support.scripted_broker import Inbox


class Broker:
    """What a broker knows of a channel, and would close it for."""

    def __init__(self, delivered: int) -> None:
        self.unsettled = set(range(1, delivered + 1))
        self.frames = 0

    def send(self, method: Frame) -> None:
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


@given(st.permutations(range(1, 16)), st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12))
async def test_in_any_order_each_is_settled_once_and_nothing_else(
    order: list[int], groups: list[tuple[int, bool]]
) -> None:
    settling = Settling(15)
    at = 0
    for size, reject in groups:
        tags = order[at : at + size]
        at += size
        if reject:
            for tag in tags:
                settling.lane.reject(tag)
        else:
            settling.lane.ack(tags)
        assert settling.broker.unsettled == set(order[at:])
    settling.lane.ack(order[at:])
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
