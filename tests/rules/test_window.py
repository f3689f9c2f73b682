"""Effects are worked on in any order and acknowledged in that in which they came."""

from __future__ import annotations

import asyncio

import pytest

from streams import window as windows
from streams.window import Window


class Stream:
    """Effects that are done when the test says so."""

    def __init__(self, concurrency: int = 10) -> None:
        self.failed: list[BaseException] = []
        self.window = Window(concurrency, self.failed.append)
        self.begun: list[str] = []
        self.acknowledged: list[str] = []
        self._done: dict[str, asyncio.Future[None]] = {}

    async def put(self, name: str, partition: int = 0) -> None:
        done = self._done[name] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            self.begun.append(name)
            await done

        await self.window.put(partition, work, lambda: self.acknowledged.append(name))
        await settle()

    async def end(self, *names: str, error: Exception | None = None) -> None:
        for name in names:
            if error is not None:
                self._done[name].set_exception(error)
            else:
                self._done[name].set_result(None)
        await settle()


async def settle() -> None:
    """Until nothing moves: no work here takes time."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_finished_behind_open_work_is_acknowledged_when_that_is_done() -> None:
    stream = Stream()
    for name in "abc":
        await stream.put(name)
    await stream.end("b", "c")
    assert stream.acknowledged == []
    await stream.end("a")
    assert stream.acknowledged == ["a", "b", "c"]


async def test_partitions_do_not_wait_for_each_other() -> None:
    stream = Stream()
    await stream.put("a", partition=0)
    await stream.put("b", partition=1)
    await stream.end("b")
    assert stream.acknowledged == ["b"]


async def test_at_most_so_many_are_worked_on_and_a_slow_one_takes_one_place() -> None:
    stream = Stream(concurrency=2)
    await stream.put("slow")
    await stream.put("b")
    third = asyncio.create_task(stream.put("c"))
    await settle()
    assert stream.begun == ["slow", "b"]
    await stream.end("b")
    await third
    assert stream.begun == ["slow", "b", "c"]
    assert stream.acknowledged == []


async def test_what_is_finished_and_waits_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "UNACKED_MAX", 3)
    stream = Stream()
    for name in "abc":
        await stream.put(name)
    await stream.end("b", "c")
    fourth = asyncio.create_task(stream.put("d"))
    await settle()
    assert "d" not in stream.begun
    await stream.end("a")
    await fourth
    assert stream.begun == ["a", "b", "c", "d"]


async def test_of_partitions_that_were_taken_away_nothing_is_acknowledged_and_their_places_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "UNACKED_MAX", 2)
    stream = Stream()
    await stream.put("a")
    await stream.put("b")
    stream.window.forget()
    await stream.end("a", "b")
    assert stream.acknowledged == []
    await stream.put("c")
    await stream.end("c")
    assert stream.acknowledged == ["c"]


async def test_work_that_fails_is_told() -> None:
    stream = Stream()
    await stream.put("a")
    error = RuntimeError("a mistake of ours")
    await stream.end("a", error=error)
    assert stream.failed == [error]
