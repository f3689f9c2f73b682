"""Heartbeats: sent whatever happens, and missed only when it is the broker who is silent."""

from __future__ import annotations

import asyncio

from tests.support.scripted_broker import HEARTBEAT, Inbox, ScriptedBroker, eventually, message

BODY = bytes(300_000)


async def test_a_lane_whose_broker_is_silent_for_two_heartbeats_ends() -> None:
    async with ScriptedBroker(heartbeat_s=1) as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox, "heartbeat=60")
        broker.send(*message(1, BODY)[:3])
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(10):
            why = await lane.wait_closed()
        assert "silent for more than 2 heartbeats of 1 s" in str(why)
        assert loop.time() - began > 1.9
        assert inbox.bodies[0].lost is why
        assert broker.heartbeats >= 3


async def test_a_lane_sends_heartbeats_and_lives_while_it_has_no_room_and_reads_nothing() -> None:
    async with ScriptedBroker(heartbeat_s=1) as broker:
        inbox = Inbox()
        inbox.stalls = True
        lane = await broker.open_lane(inbox, "heartbeat=60")
        broker.send(*message(1, b"all of it comes before there is room, and nothing behind it"))
        await eventually(lambda: broker.heartbeats >= 7)  # three seconds and a half
        assert not lane.closed
        inbox.stalls = False
        lane.proceed()
        await eventually(lambda: inbox.has(1))
        # That it did not read is not held against the broker afterwards either.
        beats = broker.heartbeats
        await eventually(lambda: broker.heartbeats > beats + 1)
        assert not lane.closed
        async with asyncio.timeout(10):
            assert "silent" in str(await lane.wait_closed())


async def test_a_lane_whose_broker_sends_heartbeats_lives() -> None:
    async with ScriptedBroker(heartbeat_s=1) as broker:
        lane = await broker.open_lane(Inbox(), "heartbeat=60")
        for beats in range(1, 7):  # three seconds
            await eventually(lambda beats=beats: broker.heartbeats >= beats)
            broker.send(HEARTBEAT)
        assert not lane.closed
        await lane.close()


async def test_a_body_that_trickles_in_is_a_sign_of_life() -> None:
    async with ScriptedBroker(heartbeat_s=1) as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox, "heartbeat=60")
        data = b"".join(message(1, BODY))
        for beats in range(1, 7):
            await eventually(lambda beats=beats: broker.heartbeats >= beats)
            broker.send(data[(beats - 1) * 100 : beats * 100])
        assert not lane.closed
        lane.abort("the test is over")


async def test_without_heartbeats_none_are_sent_and_silence_says_nothing() -> None:
    async with ScriptedBroker(heartbeat_s=1) as broker:
        lane = await broker.open_lane(Inbox(), "heartbeat=0")
        assert lane._connection._timer is None
        await lane.close()
        assert broker.heartbeats == 0
