"""What a lane tells the broker about messages, and how it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pamqp import commands

from bridge import amqp_connection as module
from bridge.lane import Lane, LaneClosed
from tests.support.scripted_broker import Inbox, ScriptedBroker, eventually, message


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    async with ScriptedBroker() as broker:
        yield broker


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def lane(broker: ScriptedBroker, inbox: Inbox) -> AsyncIterator[Lane]:
    """With six messages in hand."""
    lane = await broker.open_lane(inbox)
    for tag in range(1, 7):
        broker.send(*message(tag, b"content"))
    await eventually(lambda: inbox.has(6))
    yield lane
    lane.abort("the test is over")


async def settled(broker: ScriptedBroker, count: int) -> list[tuple[str, int, bool]]:
    await eventually(lambda: len(broker.settled) >= count)
    return broker.settled


async def test_messages_know_what_the_broker_said_of_them(broker: ScriptedBroker, inbox: Inbox, lane: Lane) -> None:
    broker.send(*message(7, b"1234567", message_type="a.type", headers={"n": 1}, reply_to="there"))
    await eventually(lambda: inbox.has(7))
    incoming = inbox.bodies[-1].incoming
    assert (incoming.tag, incoming.size, incoming.routing_key, incoming.redelivered) == (7, 7, "key", False)
    assert (incoming.properties.type, incoming.properties.reply_to) == ("a.type", "there")
    assert incoming.properties.headers == {"n": 1}
    assert incoming.lane is lane
    assert inbox.bodies[0].incoming.properties.headers == {}


@pytest.mark.parametrize(
    ("acked", "told"),
    [
        ([[1, 2, 3, 4, 5, 6]], [("Ack", 6, True)]),
        ([[3, 1, 2]], [("Ack", 3, True)]),
        ([[1], [2], [3]], [("Ack", 1, True), ("Ack", 2, True), ("Ack", 3, True)]),
        ([[2, 4]], [("Ack", 2, False), ("Ack", 4, False)]),
        ([[1, 2, 4, 6]], [("Ack", 2, True), ("Ack", 4, False), ("Ack", 6, False)]),
        ([[2, 3], [1]], [("Ack", 3, True)]),
        ([[2], [1, 3]], [("Ack", 3, True)]),
        ([[2], [1], [3, 4]], [("Ack", 2, True), ("Ack", 4, True)]),
        ([[]], []),
    ],
)
async def test_one_acknowledgement_stands_for_all_up_to_it_and_holes_are_left_out(
    broker: ScriptedBroker, lane: Lane, acked: list[list[int]], told: list[tuple[str, int, bool]]
) -> None:
    for tags in acked:
        lane.ack(tags)
    assert await settled(broker, len(told)) == told


async def test_a_rejected_message_is_not_in_the_way_of_acknowledging_the_others_together(
    broker: ScriptedBroker, lane: Lane
) -> None:
    lane.reject(3)
    lane.ack([1, 2, 4, 5])
    assert await settled(broker, 2) == [("Reject", 3, False), ("Ack", 5, True)]
    assert [method.requeue for method in broker.told(commands.Basic.Reject)] == [False]


async def test_a_message_can_be_rejected_before_its_body_has_come(broker: ScriptedBroker, inbox: Inbox) -> None:
    lane = await broker.open_lane(inbox)
    frames = message(1, bytes(1_000), 100)
    broker.send(*frames[:5])
    await eventually(lambda: inbox.bodies)
    lane.reject(1)
    assert await settled(broker, 1) == [("Reject", 1, False)]
    broker.send(*frames[5:], *message(2, b"next"))
    await eventually(lambda: inbox.has(2))
    lane.ack([2])
    assert (await settled(broker, 2))[1] == ("Ack", 2, True)
    await lane.close()


# Leaving


async def test_a_lane_that_drains_takes_nothing_new_and_can_settle_what_it_has(
    broker: ScriptedBroker, inbox: Inbox, lane: Lane
) -> None:
    beginning = message(7, bytes(500), 100)
    broker.send(*beginning[:4])
    await eventually(lambda: len(inbox.bodies) == 7)
    lane.drain()
    lane.drain()
    await eventually(lambda: broker.told(commands.Basic.Cancel))
    broker.send(*beginning[4:], *message(8, bytes(300_000)), *message(9, b""))
    await eventually(lambda: inbox.has(7))
    lane.ack([1, 2, 3, 4, 5, 6, 7])
    assert await settled(broker, 1) == [("Ack", 7, True)]
    assert [(method.consumer_tag, method.nowait) for method in broker.told(commands.Basic.Cancel)] == [("lane", True)]
    await lane.close()
    assert len(inbox.bodies) == 7, "what came later was taken"
    assert len(broker.settled) == 1, "what came later was settled"


async def test_a_lane_that_closes_says_farewell_and_waits_for_the_answer(broker: ScriptedBroker, lane: Lane) -> None:
    async with asyncio.timeout(5):
        await lane.close()
        await lane.close()
    assert lane.closed
    assert [type(method) for method in broker.methods[-2:]] == [commands.Basic.Cancel, commands.Connection.Close]
    assert str(await lane.wait_closed()) == "closed by us"


@pytest.mark.parametrize("stalls", [False, True])
async def test_a_lane_that_closes_does_not_wait_for_ever(
    broker: ScriptedBroker, inbox: Inbox, lane: Lane, stalls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.05)
    inbox.stalls = stalls
    if stalls:  # the answer comes behind a body for which there is no room
        broker.send(*message(7, bytes(300_000)))
        await eventually(lambda: len(inbox.bodies) == 7)
    else:
        broker.replies[commands.Connection.Close] = None
    async with asyncio.timeout(5):
        await lane.close()
    await eventually(lambda: broker.gone)
    assert [each.lost is None for each in inbox.bodies] == [True] * 6 + [False] * stalls


async def test_a_lane_can_be_aborted_again_and_again_and_the_first_reason_counts(
    broker: ScriptedBroker, inbox: Inbox, lane: Lane
) -> None:
    broker.send(*message(7, bytes(500), 100)[:4])
    await eventually(lambda: len(inbox.bodies) == 7)
    lane.abort("held too long")
    lane.abort("again")
    async with asyncio.timeout(5):
        why = await lane.wait_closed()
    assert str(why) == "held too long"
    assert inbox.bodies[-1].lost is why
    await eventually(lambda: broker.gone)
    await lane.close()
    lane.drain()
    lane.proceed()
    for settle in (lambda: lane.ack([1]), lambda: lane.reject(1)):
        with pytest.raises(LaneClosed, match="held too long"):
            settle()
    assert broker.settled == []
