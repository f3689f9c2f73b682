"""A small body in one piece: it comes once and whole or not at all, and holds granted memory only."""

from __future__ import annotations

import tracemalloc

import pytest

from bridge import inflow as inflow_module
from bridge.inflow import RefusedBody
from bridge.memory import Memory
from tests.support.bodies import Whole, content_of

LOST = ConnectionError("cut")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflow_module, "WHOLE_OVERHEAD_BYTES", 0)


def test_the_objects_around_a_small_body_count_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflow_module, "WHOLE_OVERHEAD_BYTES", 1_000)
    memory = Memory(2_000)
    Whole(10, memory)
    assert memory.held_bytes == 1_010


@pytest.mark.parametrize(("size", "step"), [(1, 1), (2, 1), (100, 7), (100, 100)])
def test_a_small_body_comes_once_and_whole_and_is_held_until_it_is_released(size: int, step: int) -> None:
    memory = Memory(200)
    whole = Whole(size, memory)
    assert memory.held_bytes == size
    whole.pour(content_of(size), step)
    ((body, release),) = whole.done
    assert body == content_of(size)
    assert memory.held_bytes == size
    release()
    release()
    assert memory.held_bytes == 0


def test_a_small_body_waits_for_memory() -> None:
    memory = Memory(100)
    other = memory.request(60, lambda: None, buffers=False)
    whole = Whole(50, memory)
    assert whole.body.room() is None
    other.cancel()
    assert whole.proceeds == 1
    whole.pour(content_of(50), 50)
    assert whole.done[0][0] == content_of(50)


def test_a_small_body_takes_nothing_before_it_is_granted() -> None:
    memory = Memory(100_000)
    memory.request(60_000, lambda: None, buffers=False)
    tracemalloc.start()
    try:
        waiting = [Whole(50_000, memory) for _ in range(20)]
        assert all(whole.body.room() is None for whole in waiting)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 50_000, "one of them took it"


@pytest.mark.parametrize("poured", [0, 1, 99])
def test_a_small_body_that_is_lost_gives_back_its_memory_and_never_comes(poured: int) -> None:
    memory = Memory(100)
    whole = Whole(100, memory)
    whole.pour(content_of(poured), 1)
    whole.body.lose(LOST)
    assert (memory.held_bytes, whole.done) == (0, [])


def test_a_small_body_that_is_lost_while_it_waits_is_not_waited_for() -> None:
    memory = Memory(100)
    memory.request(60, lambda: None, buffers=False)
    lost, next_one = Whole(50, memory), Whole(40, memory)
    lost.body.lose(LOST)
    assert next_one.proceeds == 1
    assert next_one.body.room() is not None
    assert lost.proceeds == 0


def test_an_empty_body_comes_too_and_counts_with_what_is_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflow_module, "WHOLE_OVERHEAD_BYTES", 60)
    memory = Memory(100)
    first, second = Whole(0, memory), Whole(0, memory)
    assert second.body.room() is None
    assert first.body.room() is not None
    first.body.filled(0)
    ((content, release),) = first.done
    assert content == b""
    release()
    assert second.body.room() is not None


def test_refusals_are_held_within_the_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflow_module, "REFUSAL_BYTES", 60)
    memory = Memory(100)
    calls: list[int] = []
    first = RefusedBody(memory=memory, proceed=lambda: calls.append(1))
    second = RefusedBody(memory=memory, proceed=lambda: calls.append(2))
    third = RefusedBody(memory=memory, proceed=lambda: calls.append(3))
    assert first.room() is not None
    assert second.room() is None
    second.release()  # its lane is gone, or it was announced all the same
    first.release()
    assert calls == [2, 3]
    assert third.room() is not None
    third.release()
    assert memory.held_bytes == 0


def test_a_refusal_that_is_announced_before_there_is_memory_for_it_lets_the_lane_go_on() -> None:
    memory, calls = Memory(inflow_module.REFUSAL_BYTES), list[int]()
    first = RefusedBody(memory=memory, proceed=lambda: calls.append(1))
    second = RefusedBody(memory=memory, proceed=lambda: calls.append(2))
    assert second.room() is None
    second.release()
    assert calls == [2]
    assert second.room() is not None
    second.release()
    first.release()
    assert calls == [2]
    assert memory.held_bytes == 0
