"""A connection that ends at any place: the body under way is lost, nothing is acknowledged, and the lane says why."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands

from bridge import frames as frames_module
from bridge.frames import Body, DroppedBody
from bridge.inflow import StreamedBody
from bridge.lane import Incoming, LaneClosed
from bridge.memory import Memory
from tests.support.bodies import BLOCK, CHARGED, small_buffers
from tests.support.scripted_broker import Inbox, ScriptedBroker, eventually, message

CONTENT = bytes(range(200)) + bytes(100)
FRAMES = message(1, CONTENT, 100)
"""Method, header, and three frames of body."""
BEGINNING, WHOLE = b"".join(FRAMES[:3]), b"".join(FRAMES)


def cuts() -> Iterator[int]:
    """Every frame boundary, and places inside of each frame."""
    at = 0
    for part in FRAMES:
        yield from {at, at + 1, at + 6, at + 7, at + 8, at + len(part) // 2, at + len(part) - 1}
        at += len(part)
    yield at


HEADER_AT = len(FRAMES[0]) + len(FRAMES[1])
BODY_END_AT = len(WHOLE) - 1


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cut", sorted(set(cuts())))
async def test_a_body_is_whole_or_lost_wherever_the_connection_is_cut(cut: int, reset: bool) -> None:
    async with ScriptedBroker() as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox)
        broker.send(WHOLE[:cut])
        if cut >= HEADER_AT:
            await eventually(lambda: inbox.bodies)
            # A reset may overtake what is still under way, so it has to be there first.
            await eventually(lambda: inbox.bodies[0].at >= min(300, max(0, cut - HEADER_AT - 7) * 100 // 108))
        broker.cut(reset=reset)
        async with asyncio.timeout(5):
            why = await lane.wait_closed()
        assert why.code is None
        assert "connection" in str(why)
        assert lane.closed
        assert len(inbox.bodies) == (cut >= HEADER_AT)
        for each in inbox.bodies:
            assert each.whole == (cut >= BODY_END_AT)
            assert each.lost is (None if each.whole else why)
        with pytest.raises(LaneClosed):
            lane.ack([1])
        assert broker.settled == []


@pytest.mark.parametrize("sent", [b"", BEGINNING, WHOLE], ids=["between", "mid-body", "after"])
@pytest.mark.parametrize(
    ("method", "channel", "answer", "code"),
    [
        (commands.Connection.Close(320, "CONNECTION_FORCED - operator", 0, 0), 0, commands.Connection.CloseOk, 320),
        (commands.Channel.Close(406, "PRECONDITION_FAILED - timeout", 0, 0), 1, commands.Channel.CloseOk, 406),
        (commands.Basic.Cancel("lane", True), 1, None, None),
    ],
    ids=["Connection.Close", "Channel.Close", "Basic.Cancel"],
)
async def test_a_lane_that_the_broker_ends_says_why_and_answers(
    method: commands.Connection.Close, channel: int, answer: type | None, code: int | None, sent: bytes
) -> None:
    async with ScriptedBroker() as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox)
        broker.send(sent)
        broker.say(method, channel)
        async with asyncio.timeout(5):
            why = await lane.wait_closed()
        assert why.code == code
        assert getattr(method, "reply_text", "cancelled the consumer") in str(why)
        for each in inbox.bodies:
            assert each.lost is (None if each.whole else why)
        assert len(inbox.bodies) == bool(sent)
        assert inbox.has(sent == WHOLE)
        await eventually(lambda: broker.gone)
        assert broker.settled == []
        assert isinstance(broker.methods[-1], answer or commands.Basic.Consume)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x07\x00\x01\x00\x00\x00\x00\xce",
        b"\x03\x00\x01\x7f\xff\xff\xff",
        message(1, b"without a message")[2],
        BEGINNING + message(1, bytes(201))[2],
        BEGINNING + FRAMES[0],
    ],
    ids=["type", "size", "body", "longer", "inside"],
)
async def test_what_is_no_amqp_ends_the_lane_and_loses_its_body(sent: bytes) -> None:
    async with ScriptedBroker() as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox)
        broker.send(sent)
        async with asyncio.timeout(5):
            why = await lane.wait_closed()
        assert [each.lost for each in inbox.bodies] == [why] * sent.startswith(BEGINNING)
        await eventually(lambda: broker.gone)


async def test_a_method_that_nobody_asked_for_ends_the_lane() -> None:
    async with ScriptedBroker() as broker:
        lane = await broker.open_lane(Inbox())
        broker.say(commands.Basic.QosOk())
        async with asyncio.timeout(5):
            assert "nobody asked for Basic.QosOk" in str(await lane.wait_closed())


async def test_an_alarm_of_the_broker_is_no_reason_to_end() -> None:
    async with ScriptedBroker() as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox)
        broker.say(commands.Connection.Blocked("low on memory"), 0)
        broker.say(commands.Connection.Unblocked(), 0)
        broker.send(*FRAMES)
        await eventually(lambda: inbox.has(1))
        await lane.close()


async def test_a_lane_that_is_cut_while_it_has_no_room_is_closed_when_it_goes_on() -> None:
    async with ScriptedBroker() as broker:
        inbox = Inbox()
        inbox.stalls = True
        lane = await broker.open_lane(inbox)
        broker.send(BEGINNING)
        await eventually(lambda: inbox.bodies)
        broker.cut()
        inbox.stalls = False
        lane.proceed()
        async with asyncio.timeout(5):
            why = await lane.wait_closed()
        assert inbox.bodies[0].lost is why


@pytest.mark.parametrize("paused", [False, True])
async def test_a_mistake_of_ours_ends_the_lane_whoever_let_it_go_on(paused: bool) -> None:
    mistakes: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mistakes.append(context))

    class Mistaken(Inbox):
        def accept(self, incoming: Incoming) -> Body:
            if incoming.tag == 2:
                raise ZeroDivisionError
            return super().accept(incoming)

    async with ScriptedBroker() as broker:
        inbox = Mistaken()
        inbox.stalls = paused
        lane = await broker.open_lane(inbox)
        broker.send(*message(1, b"one"), *message(2, b"two"))
        await eventually(lambda: inbox.bodies)
        if paused:
            inbox.stalls = False
            with pytest.raises(ZeroDivisionError):
                lane.proceed()
        async with asyncio.timeout(5):
            assert "ZeroDivisionError" in str(await lane.wait_closed())
    assert len(mistakes) == (not paused), "nobody hears of it"


# Anything at all

VALID = b"".join([*message(1, CONTENT, 100), *message(2, b""), *message(3, b"x", headers={"n": 1})])


class Bounded:
    """Takes messages of any announced size into memory for two blocks."""

    def __init__(self) -> None:
        self.memory = Memory(2 * CHARGED)
        self.bodies: list[StreamedBody] = []
        self._readers: list[asyncio.Task[None]] = []

    def accept(self, incoming: Incoming) -> Body:
        if not incoming.size:
            return DroppedBody()
        body = StreamedBody(incoming.size, BLOCK, memory=self.memory, blocks_max=1, proceed=incoming.lane.proceed)
        self._readers.append(asyncio.create_task(self._read(body)))
        return body

    async def _read(self, body: StreamedBody) -> None:
        try:
            async for block in body:
                assert self.memory.held_bytes <= 2 * CHARGED
                block.release()
        except LaneClosed:
            pass
        finally:
            body.end()

    async def done(self) -> None:
        await asyncio.gather(*self._readers)
        assert self.memory.held_bytes == 0


damage = st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=6)


@given(st.one_of(st.binary(max_size=3_000), damage.map(lambda places: damaged(places))), st.integers(1, 700))
@settings(max_examples=60)
def test_whatever_a_broker_sends_the_lane_ends_cleanly_in_bounded_memory(data: bytes, step: int) -> None:
    async def run() -> None:
        mistakes: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: mistakes.append(context))
        async with ScriptedBroker() as broker:
            taker = Bounded()
            lane = await broker.open_lane(taker)
            for start in range(0, len(data), max(step, len(data) // 20)):
                broker.send(data[start : start + max(step, len(data) // 20)])
                await asyncio.sleep(0)
            broker.cut()
            async with asyncio.timeout(5):
                await lane.wait_closed()
                await taker.done()
            assert broker.settled == []
        assert mistakes == []

    with small_buffers(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "DIRECT_FROM_BYTES", 16)
        asyncio.run(run())


def damaged(places: list[tuple[int, int]]) -> bytes:
    data = bytearray(VALID)
    for at, value in places:
        data[at] = value
    return bytes(data)
