"""A sick system is asked by one at a time, until it is well; a delivery is held so long and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest

import pytest

from bridge import hold as module
from bridge.hold import FAILURES_MAX, Breaker, HeldTooLong, Hold


class Sick(Exception):
    """What the system of these tests answers when it cannot."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.0)


@pytest.fixture
def breaker() -> Breaker:
    return Breaker("the system", Sick)


class System:
    """Something to ask: it answers when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.waiting: list[asyncio.Future[str]] = []

    async def __call__(self) -> str:
        self.asked += 1
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        try:
            return await answer
        finally:
            self.waiting.remove(answer)


async def fail() -> str:
    raise Sick("cannot")


async def work() -> str:
    return "done"


async def turns(count: int = 20) -> None:
    """All that can happen without an answer happens."""
    for _ in range(count):
        await asyncio.sleep(0)


async def make_sick(breaker: Breaker) -> None:
    for _ in range(FAILURES_MAX):
        with pytest.raises(Sick):
            await breaker.ask(fail)
    assert breaker.sick


def after(failures: int) -> Callable[[], Awaitable[str]]:
    """An attempt that fails so often, then works."""
    left = failures

    async def attempt() -> str:
        nonlocal left
        left -= 1
        return await (fail() if left >= 0 else work())

    return attempt


# The breaker


async def test_failures_in_a_row_make_a_system_sick(breaker: Breaker) -> None:
    for failures in range(1, FAILURES_MAX + 1):
        assert not breaker.sick
        with pytest.raises(Sick):
            await breaker.ask(fail)
        assert breaker.sick == (failures == FAILURES_MAX)


async def test_an_answer_between_makes_them_no_row(breaker: Breaker) -> None:
    for _ in range(3 * FAILURES_MAX):
        for _ in range(FAILURES_MAX - 1):
            with pytest.raises(Sick):
                await breaker.ask(fail)
            assert not breaker.sick
        assert await breaker.ask(work) == "done"


async def together(breaker: Breaker, count: int, answers: Sequence[Exception | str]) -> None:
    """Attempts that are all under way when the first of them is answered; those without an answer fail."""
    system = System()
    asking = [asyncio.create_task(breaker.ask(system)) for _ in range(count)]
    await turns()
    assert len(system.waiting) == count
    for waiting, answer in zip_longest(list(system.waiting), answers, fillvalue=Sick("cannot")):
        waiting.set_result(answer) if isinstance(answer, str) else waiting.set_exception(answer)
        await turns()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_attempts_that_one_blip_fails_are_one_failure(breaker: Breaker) -> None:
    for failures in range(1, FAILURES_MAX + 1):
        assert not breaker.sick
        await together(breaker, 16, [])
        assert breaker.sick == (failures == FAILURES_MAX)


async def test_an_attempt_that_began_before_the_last_answer_is_no_failure_after_it(breaker: Breaker) -> None:
    for _ in range(3 * FAILURES_MAX):
        await together(breaker, 2, ["done"])
        assert not breaker.sick
    for _ in range(FAILURES_MAX - 1):
        with pytest.raises(Sick):
            await breaker.ask(fail)
    assert not breaker.sick, "those before were counted"


async def test_an_answer_to_an_attempt_that_began_before_the_last_failure_makes_no_row_either(breaker: Breaker) -> None:
    for _ in range(3 * FAILURES_MAX):
        await together(breaker, 2, [Sick("cannot"), "done"])
    assert not breaker.sick


async def test_attempts_that_follow_each_other_make_a_row_however_many_are_under_way(breaker: Breaker) -> None:
    """Each begins when another one ends, as requests of many payloads do."""
    system = System()
    asking = [asyncio.create_task(breaker.ask(system)) for _ in range(4)]
    for failures in range(4 * FAILURES_MAX):
        if breaker.sick:
            break
        await turns()
        assert failures < 4 * (FAILURES_MAX - 1) + 1, "it takes more than a round of all for each failure"
        system.waiting[0].set_exception(Sick("cannot"))
        await turns()
        asking.append(asyncio.create_task(breaker.ask(system)))
    assert breaker.sick
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_another_error_is_passed_on_and_no_failure_of_the_system(breaker: Breaker) -> None:
    async def mistake() -> None:
        raise ZeroDivisionError

    for _ in range(2 * FAILURES_MAX):
        with pytest.raises(ZeroDivisionError):
            await breaker.ask(mistake)
    assert not breaker.sick


async def test_a_system_that_is_well_is_asked_by_all_at_once(breaker: Breaker) -> None:
    system = System()
    asking = [asyncio.create_task(breaker.ask(system)) for _ in range(5)]
    await turns()
    assert len(system.waiting) == 5
    for answer in list(system.waiting):
        answer.set_result("done")
    assert await asyncio.gather(*asking) == ["done"] * 5


async def test_a_sick_system_is_asked_by_one_at_a_time(breaker: Breaker) -> None:
    await make_sick(breaker)
    system = System()
    asking = [asyncio.create_task(breaker.ask(system)) for _ in range(3)]
    for asked in (1, 2, 3):
        await turns()
        assert (len(system.waiting), system.asked) == (1, asked)
        system.waiting[0].set_exception(Sick("cannot"))
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in found] == [Sick] * 3
    assert breaker.sick


async def test_one_answer_lets_all_others_ask_at_once(breaker: Breaker) -> None:
    await make_sick(breaker)
    system = System()
    asking = [asyncio.create_task(breaker.ask(system)) for _ in range(5)]
    await turns()
    system.waiting[0].set_result("done")
    await turns()
    assert not breaker.sick
    assert len(system.waiting) == 4
    for answer in list(system.waiting):
        answer.set_result("done")
    assert await asyncio.gather(*asking) == ["done"] * 5


async def test_one_who_waits_for_his_turn_can_give_up(breaker: Breaker) -> None:
    await make_sick(breaker)
    system = System()
    first, second, third = (asyncio.create_task(breaker.ask(system)) for _ in range(3))
    await turns()
    second.cancel()
    first.cancel()
    await turns()
    assert len(system.waiting) == 1
    system.waiting[0].set_result("done")
    assert await third == "done"
    assert [task.cancelled() for task in (first, second)] == [True, True]


async def test_who_waits_for_a_system_to_be_well_wakes_when_it_has_answered(breaker: Breaker) -> None:
    await breaker.wait_well()
    await make_sick(breaker)
    waiting = [asyncio.create_task(breaker.wait_well()) for _ in range(3)]
    await turns()
    assert not any(task.done() for task in waiting)
    await breaker.ask(work)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


async def test_pauses_grow_to_their_limit(breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.5)
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    for _ in range(2_000):  # no power of two overflows
        with pytest.raises(Sick):
            await breaker.ask(fail)
    for at, pause_s in enumerate(pauses):
        longest = min(module.PAUSE_MAX_S, 2.0 ** min(at, 9))
        assert longest / 2 <= pause_s <= longest
    assert len({*pauses[10:]}) > 100, "many bridges do not come back at the same moment"


# The hold


async def test_a_delivery_is_held_until_an_attempt_works(breaker: Breaker) -> None:
    assert await Hold(60).insist(breaker, after(3 * FAILURES_MAX)) == "done"
    assert not breaker.sick


async def test_a_delivery_is_given_back_at_its_limit_with_the_last_error(breaker: Breaker) -> None:
    errors: list[Sick] = []

    async def numbered() -> None:
        errors.append(Sick(f"failure {len(errors)}"))
        raise errors[-1]

    with pytest.raises(HeldTooLong) as caught:
        await Hold(0.02).insist(breaker, numbered)
    assert caught.value.__cause__ is errors[-1]
    assert f"failure {len(errors) - 1}" in str(caught.value)


async def test_the_last_error_is_known_when_the_limit_comes_in_the_pause_behind_it(
    breaker: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 1_000.0)
    with pytest.raises(HeldTooLong, match="cannot"):
        await Hold(0.01).insist(breaker, fail)


async def test_a_delivery_is_given_back_when_there_is_no_answer_at_all(breaker: Breaker) -> None:
    system = System()
    with pytest.raises(HeldTooLong, match="no answer in time"):
        await Hold(0.01).insist(breaker, system)
    assert system.waiting == []


async def test_a_delivery_is_given_back_when_it_never_had_its_turn(breaker: Breaker) -> None:
    await make_sick(breaker)
    system = System()
    first = asyncio.create_task(breaker.ask(system))
    await turns()
    with pytest.raises(HeldTooLong):
        await Hold(0.01).insist(breaker, system)
    assert system.asked == 1
    system.waiting[0].set_result("done")
    assert await first == "done"


async def test_the_limit_counts_from_the_moment_that_is_named(breaker: Breaker) -> None:
    now = asyncio.get_running_loop().time()
    with pytest.raises(HeldTooLong):
        await Hold(60, since=now - 61).insist(breaker, System())
    assert await Hold(60, since=now - 50).insist(breaker, after(1)) == "done"


async def test_one_limit_counts_for_all_that_is_done_with_a_delivery(breaker: Breaker) -> None:
    hold = Hold(0.01)
    with pytest.raises(HeldTooLong):
        await hold.insist(breaker, System())
    with pytest.raises(HeldTooLong):
        await hold.insist(Breaker("another", Sick), System())


async def test_another_error_than_sickness_is_not_tried_again(breaker: Breaker) -> None:
    asked = 0

    async def mistake() -> None:
        nonlocal asked
        asked += 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Hold(60).insist(breaker, mistake)
    assert asked == 1


async def test_an_attempt_that_times_out_by_itself_is_not_the_limit(breaker: Breaker) -> None:
    async def impatient() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await Hold(60).insist(breaker, impatient)


async def test_a_cancellation_is_a_cancellation(breaker: Breaker) -> None:
    insisting = asyncio.create_task(Hold(60).insist(breaker, System()))
    await turns()
    insisting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await insisting
