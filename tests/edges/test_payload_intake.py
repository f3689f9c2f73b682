"""Payloads from their first byte on a lane to their acknowledgement: stored, reported, acknowledged, or given back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from bridge import hand as hand_module
from bridge import hold as hold_module
from bridge import lanes as lanes_module
from bridge.blobs import BlobsUnavailable
from bridge.lanes import Lanes
from bridge.layout import MIB, BlockId
from tests.support.lane_reader import content_of
from tests.support.scripted_bridge import Bridge, payload
from tests.support.scripted_broker import eventually

LARGE, SMALL = 9 * MIB, 1_000
"""Two sub-blocks; and what is gathered."""
ALWAYS = 1 << 30


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold_module, "PAUSE_FIRST_S", 0.0)
    monkeypatch.setattr(lanes_module, "PAUSE_FIRST_S", 0.0)
    monkeypatch.setattr(lanes_module, "SICK_MAX_S", 0.05)


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    bridge = Bridge(60)
    async with bridge.broker:
        yield bridge
    assert bridge.crashes == []


@pytest.fixture
async def hasty() -> AsyncIterator[Bridge]:
    """One that holds nothing for long."""
    bridge = Bridge(0.3)
    async with bridge.broker:
        yield bridge
    assert bridge.crashes == []


@pytest.mark.parametrize(("size", "blocks"), [(LARGE, 2), (SMALL, 1), (0, 1), (256 << 10, 1), ((256 << 10) - 1, 1)])
async def test_a_payload_is_stored_then_reported_then_acknowledged(bridge: Bridge, size: int, blocks: int) -> None:
    lane = await bridge.lane()
    content = content_of(size)
    bridge.broker.send(*payload(1, content, brh_sha256=hashlib.sha256(content).hexdigest()))
    await eventually(lambda: bridge.broker.settled)
    assert bridge.log == [*["stored"] * blocks, "reported", "settled"]
    assert bridge.broker.settled == [("Ack", 1, True)]
    assert bridge.facts[0].staged[0].sizes == (size,)
    await eventually(lambda: bridge.memory.held_bytes == 0)
    await lane.close()


@pytest.mark.parametrize("size", [LARGE, SMALL, 0])
async def test_a_payload_with_another_digest_is_announced_then_its_transaction_is_told_then_it_is_rejected(
    bridge: Bridge, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = await bridge.lane()
    bridge.notices_fail = 2
    hold, holds = bridge.outlets.hold, list[object]()
    monkeypatch.setattr(bridge.outlets, "hold", lambda: (holds.append(1), hold())[1])
    bridge.broker.send(*payload(1, content_of(size), brh_sha256="0" * 64))
    await eventually(lambda: bridge.broker.settled)
    assert bridge.log[-3:] == ["message.rejected.digest-mismatch", "refusal reported", "settled"]
    assert bridge.broker.settled == [("Reject", 1, False)]
    assert bridge.facts == []
    assert [(each.transaction, each.problem.code) for each in bridge.refusals] == [("t-1", "digest-mismatch")]
    assert len(holds) == 1, "a delivery is held once, whatever it is held for"
    await eventually(lambda: bridge.memory.held_bytes == 0)
    await lane.close()


async def test_a_payload_that_cannot_be_accepted_is_rejected_before_its_body_and_holds_nothing(bridge: Bridge) -> None:
    lane = await bridge.lane()
    frames = payload(1, content_of(LARGE), ordinal=11)
    bridge.broker.send(*frames[:3])
    await eventually(lambda: bridge.broker.settled)
    assert bridge.broker.settled == [("Reject", 1, False)]
    assert bridge.memory.held_bytes == 0
    bridge.broker.send(*frames[3:], *payload(2, b"next"))
    await eventually(lambda: len(bridge.broker.settled) == 2)
    await lane.close()


@pytest.mark.parametrize("size", [LARGE, SMALL])
@pytest.mark.parametrize("system", ["storage", "kafka"])
async def test_trouble_that_passes_costs_nothing(bridge: Bridge, system: str, size: int) -> None:
    lane = await bridge.lane()
    setattr(bridge, f"{system}_fails", 7)
    bridge.broker.send(*payload(1, content_of(size)))
    await eventually(lambda: bridge.broker.settled)
    assert bridge.broker.settled == [("Ack", 1, True)]
    assert len(bridge.facts) == 1
    await lane.close()


@pytest.mark.parametrize("size", [LARGE, 8 * MIB, SMALL])
@pytest.mark.parametrize(("system", "spared"), [("storage", 0), ("storage", 1), ("kafka", 0)])
async def test_trouble_that_lasts_gives_the_delivery_back_and_acknowledges_nothing(
    hasty: Bridge, system: str, spared: int, size: int
) -> None:
    lane = await hasty.lane()
    hasty.spared = spared if size == LARGE else 0
    setattr(hasty, f"{system}_fails", ALWAYS)
    hasty.broker.send(*payload(1, content_of(size)))
    assert "given back to its queue" in await hasty.ended(lane)
    assert hasty.facts == []


@pytest.mark.parametrize("system", ["notices", "kafka"])
async def test_a_rejection_that_cannot_be_told_gives_the_delivery_back(hasty: Bridge, system: str) -> None:
    lane = await hasty.lane()
    setattr(hasty, f"{system}_fail{'s' if system == 'kafka' else ''}", ALWAYS)
    hasty.broker.send(*payload(1, b"content", ordinal=11))
    assert "a rejection was given back" in await hasty.ended(lane)


@pytest.mark.parametrize("size", [LARGE, SMALL])
async def test_a_payload_whose_lane_is_cut_in_its_middle_leaves_nothing(bridge: Bridge, size: int) -> None:
    lane = await bridge.lane()
    data = b"".join(payload(1, content_of(size)))
    bridge.broker.send(data[: len(data) * 19 // 20])
    await eventually(lambda: bridge.memory.held_bytes)
    bridge.broker.cut()
    await bridge.ended(lane)
    assert bridge.facts == []


async def test_payloads_of_a_lane_that_is_cut_afterwards_are_stored_and_come_again(bridge: Bridge) -> None:
    lane = await bridge.lane()
    bridge.storage_fails = 5
    bridge.broker.send(*payload(1, content_of(LARGE)), *payload(2, b"small", ordinal=2))
    await eventually(lambda: bridge.storage_fails < 5)
    bridge.broker.cut()
    await bridge.ended(lane)
    assert len(bridge.facts) == 2


@pytest.mark.parametrize("size", [LARGE, SMALL])
async def test_a_mistake_of_ours_ends_the_process_and_acknowledges_nothing(size: int) -> None:
    bridge = Bridge(60)

    async def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    bridge.stage_block = mistaken
    async with bridge.broker:
        lane = await bridge.lane()
        bridge.broker.send(*payload(1, content_of(size)))
        await eventually(lambda: bridge.crashes)
        assert [type(error) for error in bridge.crashes] == [ZeroDivisionError]
        assert bridge.broker.settled == []
        assert bridge.memory.held_bytes == 0
        lane.abort("the test is over")


async def test_who_ends_finishes_what_he_has_in_hand(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_module, "LINGER_S", 0.05)
    lane = await bridge.lane()
    bridge.storage_fails = 4
    bridge.broker.send(*payload(1, content_of(LARGE)), *payload(2, b"small", ordinal=2))
    await eventually(lambda: bridge.intake._gathering.busy)
    lane.drain()
    await bridge.intake.finish(10)
    await lane.close()
    assert sorted(tag for _, tag, _ in bridge.broker.settled) == [1, 2]


async def test_who_ends_does_not_wait_for_ever(bridge: Bridge) -> None:
    lane = await bridge.lane()
    bridge.storage_fails = ALWAYS
    bridge.broker.send(*payload(1, b"small"))
    await eventually(lambda: bridge.storage_fails < ALWAYS)
    async with asyncio.timeout(5):
        await bridge.intake.finish(0.01)
    assert bridge.intake._gathering.busy
    bridge.storage_fails = 0
    await bridge.intake.finish(10)
    await lane.close()


async def test_who_gives_up_what_he_has_in_hand_settles_nothing_and_makes_no_mistake(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = await bridge.lane()
    bridge.storage_fails = ALWAYS
    bridge.broker.send(*payload(1, content_of(LARGE)), *payload(2, b"small", ordinal=2))
    await eventually(lambda: bridge.intake._gathering._working and bridge.memory.held_bytes > LARGE)
    monkeypatch.setattr(hand_module, "LINGER_S", 60)
    bridge.broker.send(*payload(3, b"waits for neighbours", ordinal=3))
    await eventually(lambda: bridge.intake._gathering._hands)
    lane.drain()
    await bridge.intake.finish(0.01)
    await lane.close()
    bridge.storage_fails = 0
    async with asyncio.timeout(5):
        await bridge.intake.give_up()
        await bridge.intake.give_up()
    assert not bridge.intake.busy
    assert bridge.broker.settled == []
    assert bridge.facts == []


async def test_a_bridge_that_gave_everything_back_comes_back_when_storage_does(hasty: Bridge) -> None:
    storage = hasty.outlets.storage
    lanes = Lanes(
        hasty.broker.address(),
        "queue",
        count=1,
        prefetch=1,
        accept=hasty.accept,
        name="bridge",
        storage=storage,
        crash=pytest.fail,
    )
    await lanes.start()
    hasty.storage_fails = ALWAYS
    for _ in range(hold_module.FAILURES_MAX):
        with pytest.raises(BlobsUnavailable):
            await storage.ask(lambda: hasty.stage_block("", BlockId(1, 1, 1, 0, 1, 0), []))
    hasty.broker.send(*payload(1, content_of(LARGE)))
    await eventually(lambda: hasty.broker.gone == 1)
    assert storage.sick
    hasty.storage_fails = 0
    await eventually(lambda: hasty.broker.connections == 2)
    await eventually(lambda: hasty.broker.methods[-1].name == "Basic.Consume")
    hasty.broker.send(*payload(1, content_of(LARGE)))
    await eventually(lambda: hasty.broker.settled)
    assert not storage.sick
    await lanes.stop()
