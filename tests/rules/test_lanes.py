"""Lanes are kept open: what closes is opened again, slowly while the broker or storage is in trouble, but for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from bridge import hold as hold_module
from bridge import lanes as module
from bridge.amqp_address import AmqpAddress
from bridge.hold import FAILURES_MAX, Breaker
from bridge.lane import LaneClosed
from bridge.lanes import Lanes


class Sick(Exception):
    """What storage answers when it cannot."""


class FakeLane:
    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[str] = []
        self._gone: asyncio.Future[LaneClosed] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        if not self._gone.done():
            self._gone.set_result(LaneClosed("cut", code=320))

    async def wait_closed(self) -> LaneClosed:
        return await asyncio.shield(self._gone)

    def drain(self) -> None:
        self.calls.append("drain")

    async def close(self) -> None:
        self.calls.append("close")
        self.end()


class Broker:
    """Opens lanes, or not."""

    def __init__(self) -> None:
        self.opened: list[FakeLane] = []
        self.refusals: list[Exception] = []
        self.refused = 0
        self.silent = False

    async def open(self, _address: object, _queue: str, *, name: str, **_: object) -> FakeLane:
        if self.silent:
            await asyncio.Event().wait()
        if self.refusals:
            self.refused += 1
            raise self.refusals.pop(0)
        self.opened.append(FakeLane(name))
        return self.opened[-1]


@pytest.fixture
def storage() -> Breaker:
    return Breaker("storage", Sick)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(module.Lane, "open", broker.open)
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.0)
    monkeypatch.setattr(hold_module, "PAUSE_FIRST_S", 0.0)
    return broker


@pytest.fixture
def mistakes() -> list[Exception]:
    return []


@pytest.fixture
async def lanes(broker: Broker, storage: Breaker, mistakes: list[Exception]) -> AsyncIterator[Lanes]:
    address = AmqpAddress.parse(SecretStr("amqp://host/"))
    lanes = Lanes(
        address,
        "queue",
        count=2,
        prefetch=1,
        accept=lambda _: pytest.fail("no message"),
        name="us",
        storage=storage,
        crash=mistakes.append,
    )
    yield lanes
    await lanes.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def make_sick(storage: Breaker) -> None:
    async def fail() -> None:
        raise Sick

    for _ in range(FAILURES_MAX):
        with pytest.raises(Sick):
            await storage.ask(fail)


async def test_each_lane_has_a_name_of_its_own(lanes: Lanes, broker: Broker) -> None:
    await lanes.start()
    assert [lane.name for lane in broker.opened] == ["us queue 1", "us queue 2"]


@pytest.mark.parametrize("refusal", [LaneClosed("no queue", code=404), ConnectionRefusedError(), TimeoutError()])
async def test_what_cannot_be_opened_at_first_is_an_error(lanes: Lanes, broker: Broker, refusal: Exception) -> None:
    broker.refusals = [refusal]
    with pytest.raises(type(refusal)):
        await lanes.start()


async def test_a_lane_that_closes_is_opened_again_and_the_others_are_left_alone(lanes: Lanes, broker: Broker) -> None:
    await lanes.start()
    for opened in (3, 4, 5):
        broker.opened[-1].end()
        await until(lambda opened=opened: len(broker.opened) == opened)
        assert broker.opened[-1].name == "us queue 2"
    assert broker.opened[0].calls == []


async def test_a_mistake_of_ours_ends_the_process_and_not_just_a_lane(
    lanes: Lanes, broker: Broker, mistakes: list[Exception]
) -> None:
    await lanes.start()
    broker.refusals = [ZeroDivisionError()]
    broker.opened[0].end()
    await until(lambda: bool(mistakes))
    assert isinstance(mistakes[0], ZeroDivisionError)


async def test_a_lane_is_tried_again_until_it_can_be_opened(lanes: Lanes, broker: Broker) -> None:
    await lanes.start()
    broker.refusals = [ConnectionRefusedError(), LaneClosed("not yet", code=320), TimeoutError()] * 5
    broker.opened[0].end()
    await until(lambda: len(broker.opened) == 3)
    assert broker.refused == 15


async def test_pauses_grow_to_their_limit(lanes: Lanes, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    really = asyncio.sleep

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        await really(0)

    await lanes.start()
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.5)
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    broker.refusals = [ConnectionRefusedError()] * 20
    broker.opened[1].end()
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            while len(broker.opened) < 3:
                await really(0)
    assert len(pauses) == 21
    assert [line["event"] for line in logs] == ["lane closed"] + ["lane cannot be opened"] * 20
    assert [line["again_in_s"] for line in logs] == [round(pause_s, 1) for pause_s in pauses], "as it was drawn"
    for at, pause_s in enumerate(pauses):
        longest = min(module.PAUSE_MAX_S, 0.5 * 2.0**at)
        assert longest / 2 <= pause_s <= longest
    assert len({pause_s for pause_s in pauses if pause_s > module.PAUSE_MAX_S / 2}) > 5, "and not all at once"


async def test_while_storage_is_sick_nothing_is_opened(lanes: Lanes, broker: Broker, storage: Breaker) -> None:
    async def work() -> None:
        pass

    await lanes.start()
    await make_sick(storage)
    broker.opened[0].end()
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(broker.opened) == 2
    await storage.ask(work)
    await until(lambda: len(broker.opened) == 3)


async def test_sick_storage_is_not_waited_for_for_ever_because_nobody_else_may_ask_it(
    lanes: Lanes, broker: Broker, storage: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SICK_MAX_S", 0.01)
    await lanes.start()
    await make_sick(storage)
    for lane in broker.opened[:2]:
        lane.end()
    await until(lambda: len(broker.opened) == 4)
    assert storage.sick


async def test_who_drains_opens_nothing(lanes: Lanes, broker: Broker) -> None:
    await lanes.start()
    lanes.drain()
    broker.opened[0].end()
    for _ in range(50):
        await asyncio.sleep(0)
    assert [lane.calls for lane in broker.opened] == [["drain"], ["drain"]]


async def test_who_stops_closes_every_lane_once_whatever_its_state(lanes: Lanes, broker: Broker) -> None:
    await lanes.start()
    broker.opened[0].end()
    await until(lambda: len(broker.opened) == 3)
    broker.opened[1].end()  # nobody has seen it yet
    await lanes.stop()
    assert [lane.calls.count("close") for lane in broker.opened] == [0, 1, 1]


async def test_who_stops_while_a_lane_is_being_opened_does_not_wait_for_it(lanes: Lanes, broker: Broker) -> None:
    await lanes.start()
    broker.silent = True
    broker.opened[0].end()
    for _ in range(20):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await lanes.stop()
    assert len(broker.opened) == 2
