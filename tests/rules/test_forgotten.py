"""A consumer that the broker has forgotten is found by looking, and only that one."""

from __future__ import annotations

import pytest
from pamqp import commands

from bridge import forgotten
from bridge.forgotten import FORGOTTEN_S, Forgotten
from bridge.lane import LaneClosed
from bridge.reached import Seen
from tests.support.scripted_broker import Inbox, ScriptedBroker, eventually, message


def seen(waiting: int, taken: int) -> Seen:
    return Seen(waiting=waiting, consumers=1, taken=taken, in_order=taken, settled=taken)


def found(*looks: tuple[float, int, int, int]) -> list[bool]:
    """What each look says: of (seconds, waiting, taken, in hand)."""
    consumer = Forgotten()
    return [consumer.look(seen(waiting, taken), in_hand, at_s) for at_s, waiting, taken, in_hand in looks]


def test_one_is_forgotten_that_got_nothing_while_messages_waited() -> None:
    assert found((0, 3, 7, 0), (1, 3, 7, 0), (1 + FORGOTTEN_S - 0.1, 9, 7, 0), (1 + FORGOTTEN_S, 9, 7, 0)) == [
        False,  # the first look, because what it has taken is news
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "between",
    [(30, 0, 0, 0), (30, 3, 1, 0), (30, 3, 0, 1)],
    ids=["nothing waited", "one came", "one is in hand"],
)
def test_one_that_had_something_or_nothing_to_get_begins_anew(between: tuple[float, int, int, int]) -> None:
    taken = between[2]
    assert found((0, 3, 0, 0), between, (61, 3, taken, 0), (120, 3, taken, 0), (121, 3, taken, 0)) == [
        *[False] * 4,
        True,
    ]


async def test_a_forgotten_lane_is_cut_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedBroker() as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox)
        broker.replies[commands.Queue.Declare] = commands.Queue.DeclareOk("queue", 2, 1)
        await lane.look()
        assert not lane.closed
        monkeypatch.setattr(forgotten, "FORGOTTEN_S", 0.0)
        broker.send(*message(1, b"content"))
        await eventually(lambda: inbox.has(1))
        await lane.look()
        assert not lane.closed, "there is one in hand"
        lane.ack([1])
        await lane.look()
        assert lane.closed
        assert "2 messages wait" in str(await lane.wait_closed())


async def test_a_lane_that_takes_nothing_new_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgotten, "FORGOTTEN_S", 0.0)
    async with ScriptedBroker() as broker:
        lane = await broker.open_lane(Inbox())
        broker.replies[commands.Queue.Declare] = commands.Queue.DeclareOk("queue", 2, 1)
        lane.drain()
        await lane.look()
        assert not lane.closed
        broker.cut()
        assert isinstance(await lane.wait_closed(), LaneClosed)
