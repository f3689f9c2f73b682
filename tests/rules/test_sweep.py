"""What the sweep finds and finishes, what it leaves alone, and where it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from bridge.blobs import BlobsUnavailable
from bridge.contract.events import Delivered
from bridge.memory_blobs import MemoryBlobs
from streams.settings import RESULT_RETENTION_MIN_S, DeliverySettings
from streams.sweep import Counts, Sweeper
from tests.support.deliveries import assert_consistent, below, committed_parts, courier, deliver
from tests.support.posted import Posted
from tests.support.result import Result
from tests.support.stepped import Died, Step, Stepped, dying_at

QUARTER_S, DAY_S, RETENTION_S = 900.0, 86_400.0, RESULT_RETENTION_MIN_S


class Container:
    """A container with some transactions, and the sweep of one worker."""

    def __init__(self, **settings: Any) -> None:
        self.blobs = MemoryBlobs()
        self.posted = Posted()
        self.reported: list[Delivered] = []
        self.bugs: list[Exception] = []
        self.settings = DeliverySettings(result_retention_s=RETENTION_S, sweep_interval_s=0.1, **settings)
        self.later_s = 0.0
        self.owns: Callable[[str], bool] = lambda _: True

    def sweeper(self, step: Step | None = None, ran: Callable[[Counts], None] = lambda _: None) -> Sweeper:
        blobs: Any = self.blobs if step is None else Stepped(self.blobs, step)

        async def report(answer: Delivered) -> None:
            self.reported.append(answer)

        return Sweeper(
            blobs,
            courier(self.blobs, self.posted, step, self.settings),
            self.settings,
            owns=lambda transaction: self.owns(transaction),
            report=report,
            fail=self.bugs.append,
            ran=ran,
            now=lambda: datetime.now(UTC) + timedelta(seconds=self.later_s),
        )

    async def sweep(self, later_s: float, step: Step | None = None) -> Counts:
        self.later_s = later_s
        return await self.sweeper(step).run_once()

    async def result(self, name: str, **options: Any) -> Result:
        result = Result({"a": [b"a1", b"a2"], "b": []}, name=name, **options)
        await result.stage_all(self.blobs)
        return result

    async def untold(self, name: str, verdict: str = "completed") -> Result:
        """Its delivery died behind the outcome."""
        result = await self.result(name)

        async def dies(what: str) -> None:
            if what.startswith(("before page", "before read")) and await self.blobs.read(f"{name}/_outcome.json"):
                raise Died(what)

        with pytest.raises(Died):
            await courier(self.blobs, self.posted, dies).carry_out(getattr(result, verdict)())
        return result

    async def told(self, name: str, verdict: str = "completed") -> Result:
        result = await self.result(name)
        await deliver(courier(self.blobs, self.posted), getattr(result, verdict)())
        return result

    async def names(self, transaction: str) -> list[str]:
        return [each.name for each in await below(self.blobs, transaction)]


# --- outcomes that were not told


@pytest.mark.parametrize("verdict", ["completed", "failed", "abandoned"])
async def test_an_outcome_that_nobody_was_told_of_is_told(verdict: str) -> None:
    container = Container()
    await container.untold("T1", verdict)
    counts = await container.sweep(QUARTER_S + 60)
    assert (counts.told, counts.failed, counts.round) == (1, 0, True)
    await assert_consistent(container.blobs, container.posted, "T1", container.reported)
    assert [each.outcome.lower() for each in container.reported] == [verdict]
    again = await container.sweep(QUARTER_S + 60)
    assert (again.told, again.tried) == (0, 0)
    assert len(container.reported) == 1


async def test_an_outcome_whose_delivery_may_be_at_work_is_left_to_it() -> None:
    container = Container()
    await container.untold("T1")
    assert (await container.sweep(QUARTER_S - 60)).tried == 0
    assert container.posted.sent == []


async def test_what_is_being_delivered_just_now_is_tried_another_time() -> None:
    container = Container()
    result = await container.untold("T1")
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def held(_: str) -> None:
        inside.set()
        await go_on.wait()

    container.later_s = QUARTER_S + 60
    one = courier(container.blobs, container.posted, held, container.settings)
    sweeper = container.sweeper()
    sweeper._courier = one
    delivering = asyncio.create_task(one.carry_out(result.completed()))
    await inside.wait()
    assert (await sweeper.run_once()).failed == 1
    go_on.set()
    await delivering
    assert (await sweeper.run_once()).tried == 0


async def test_an_outcome_that_cannot_be_told_yet_is_counted_and_tried_again() -> None:
    container = Container()
    await container.untold("T1", "abandoned")
    container.posted.missing_queues.add("brh.orphans")
    counts = await container.sweep(QUARTER_S + 60)
    assert (counts.told, counts.failed) == (0, 1)
    assert container.reported == []
    container.posted.missing_queues.clear()
    assert (await container.sweep(QUARTER_S + 60)).told == 1
    assert container.posted.places[0] == "queue:brh.orphans"


# --- what is left of closed transactions


@pytest.mark.parametrize("verdict", ["completed", "failed"])
async def test_what_was_staged_behind_the_end_is_removed(verdict: str) -> None:
    container = Container()
    result = await container.told("T1", verdict)
    before = await container.names("T1")
    late = Result({"a": [b"a1", b"a2"], "late": [b"x"]}, name="T1")
    await late.stage(container.blobs, "late", 1)
    if verdict == "failed":
        await result.stage(container.blobs, "a", 1)
    counts = await container.sweep(QUARTER_S + 60)
    assert counts.cleaned == (1 if verdict == "completed" else 2)
    assert await container.names("T1") == before
    assert (await container.sweep(QUARTER_S + 60)).tried == 0


async def test_a_fence_that_a_dead_process_left_is_removed() -> None:
    container = Container()
    await container.told("T1", "failed")
    await container.blobs.commit("T1/a/part-00000", [], content_type="text/x", metadata={})
    assert (await container.sweep(QUARTER_S + 60)).cleaned == 1
    assert await committed_parts(container.blobs, "T1") == []


async def test_a_part_of_a_dead_process_is_removed() -> None:
    container = Container()
    await container.told("T1", "failed")
    await container.blobs.commit("T1/a/part-00000", [], content_type="text/x", metadata={"brh_content": "1"})
    assert (await container.sweep(QUARTER_S + 60)).cleaned == 1


async def test_a_whole_result_is_not_even_read() -> None:
    container = Container()
    await container.told("T1")
    asked: list[str] = []

    async def listen(what: str) -> None:
        asked.append(what)

    assert (await container.sweep(QUARTER_S + 60, listen)).transactions == 1
    assert {each.split()[1] for each in asked} == {"page"}


# --- open transactions, and those that nobody knows


async def test_an_open_transaction_is_left_alone() -> None:
    container = Container()
    result = await container.result("T1")
    counts = await container.sweep(12 * DAY_S)
    assert (counts.transactions, counts.tried) == (1, 0)
    await deliver(courier(container.blobs, container.posted), result.completed())


async def test_a_transaction_older_than_any_can_be_is_reported_and_left_alone() -> None:
    container = Container()
    await container.result("T1")
    await container.blobs.write_once("T1/_header.json", b"{}", content_type="text/x", metadata={})
    before = await container.names("T1")
    assert (await container.sweep(13 * DAY_S + 60)).forgotten == 1
    assert await container.names("T1") == before


async def test_transactions_of_other_partitions_are_theirs() -> None:
    container = Container()
    await container.untold("T1")
    await container.untold("T2")
    container.owns = lambda transaction: transaction == "T2"
    counts = await container.sweep(QUARTER_S + 60)
    assert (counts.transactions, counts.told) == (1, 1)
    assert [each.transaction for each in container.reported] == ["T2"]


# --- retention


async def test_results_go_when_their_time_is_over() -> None:
    container = Container()
    await container.told("T1")
    await container.told("T2", "abandoned")
    await container.blobs.write_once("T1/_header.json", b"{}", content_type="text/x", metadata={})
    assert (await container.sweep(RETENTION_S - 60)).removed == 0
    assert (await container.sweep(RETENTION_S + 60)).removed == 2
    assert [each.name for each in (await container.blobs.page()).blobs] == []


async def test_without_a_retention_results_stay() -> None:
    container = Container()
    container.settings = DeliverySettings()
    await container.told("T1")
    before = await container.names("T1")
    assert (await container.sweep(10_000 * DAY_S)).removed == 0
    assert await container.names("T1") == before


async def test_somebody_elses_blobs_stay() -> None:
    container = Container()
    await container.told("T1")
    await container.blobs.write_once("T1/notes.txt", b"x", content_type="text/x", metadata={})
    await container.sweep(RETENTION_S + 60)
    assert await container.names("T1") == ["T1/notes.txt"]


async def test_a_removal_can_die_at_every_step_and_nobody_is_told_of_what_is_gone() -> None:
    for step in count():
        container = Container()
        await container.told("T1")
        await container.result("T2")
        sent = len(container.posted.sent)
        try:
            whole = bool(await container.sweep(RETENTION_S + 60, dying_at(step)))
        except Died:
            whole = False
        names = await container.names("T1")
        assert not names or "T1/_outcome.json" in names, "the outcome goes last"
        await container.sweep(RETENTION_S + 60)
        assert await container.names("T1") == []
        assert len(await container.names("T2")) == 1, "an open transaction stays"
        assert len(container.posted.sent) == sent
        if whole:
            break
    assert step > 15, "every step was tried"


# --- limits


async def test_a_run_goes_on_where_the_one_before_ended() -> None:
    container = Container(sweep_pages_max=2, sweep_page_blobs=3)
    for number in range(6):
        await container.untold(f"T{number}")  # three blobs each
    container.later_s = QUARTER_S + 60
    sweeper = container.sweeper()
    runs = [await sweeper.run_once()]
    while not runs[-1].round and len(runs) < 9:
        runs.append(await sweeper.run_once())
    assert [run.blobs for run in runs] == [6, 6, 6]
    assert sum(run.told for run in runs) == 6
    assert (await sweeper.run_once()).blobs == 6, "and then it begins again"


async def test_a_run_does_so_much_and_the_rest_when_the_list_comes_round() -> None:
    container = Container(sweep_actions_max=4)
    for number in range(6):
        await container.untold(f"T{number}")
    first, second = await container.sweep(QUARTER_S + 60), await container.sweep(QUARTER_S + 60)
    assert (first.told, first.tried, first.deferred) == (4, 4, 2)
    assert (second.told, second.deferred) == (2, 0)


async def test_what_fails_keeps_nothing_else_from_being_done() -> None:
    container = Container()
    await container.untold("T1")
    await container.untold("T2")

    async def sick(what: str) -> None:
        if what == "before read T1/_outcome.json":
            raise BlobsUnavailable("sick")

    counts = await container.sweep(QUARTER_S + 60, sick)
    assert (counts.told, counts.failed) == (1, 1)


# --- the service


async def test_the_service_runs_again_and_again_and_stops_at_once() -> None:
    container = Container()
    await container.untold("T1")
    container.later_s = QUARTER_S + 60
    runs: asyncio.Queue[Counts] = asyncio.Queue()
    async with asyncio.timeout(30), container.sweeper(ran=runs.put_nowait):
        assert (await runs.get()).told == 1
        assert (await runs.get()).tried == 0
    assert container.bugs == []


async def test_a_list_that_cannot_be_read_is_tried_again() -> None:
    container = Container()
    await container.untold("T1")
    container.later_s = QUARTER_S + 60
    runs: asyncio.Queue[Counts] = asyncio.Queue()
    broken = 2

    async def sick(what: str) -> None:
        nonlocal broken
        if what.startswith("before page") and broken:
            broken -= 1
            raise BlobsUnavailable("sick")

    async with asyncio.timeout(30), container.sweeper(sick, ran=runs.put_nowait):
        assert (await runs.get()).told == 1
    assert (broken, container.bugs) == (0, [])


async def test_a_bug_is_not_swallowed() -> None:
    container = Container()
    failed = asyncio.Event()

    async def buggy(what: str) -> None:
        if what.startswith("before page"):
            failed.set()
            raise KeyError("a bug")

    async with asyncio.timeout(30), container.sweeper(buggy):
        await failed.wait()
        while not container.bugs:
            await asyncio.sleep(0)
    assert [type(each) for each in container.bugs] == [KeyError]
