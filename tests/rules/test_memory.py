"""Memory for bodies: never more than its limit, in the order of asking, and all of it comes back."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge import memory as module
from bridge.memory import Grant, Memory, Request

BUFFER = 4
LIMIT = 20


@pytest.fixture(scope="module", autouse=True)
def _small_buffers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BUFFER_BYTES", BUFFER)
        yield


def nothing() -> None:
    """For who asks again anyway."""


def granted(request: Request) -> Grant:
    assert request.grant is not None
    return request.grant


def test_what_is_there_is_granted_at_once_and_without_a_call() -> None:
    memory, calls = Memory(LIMIT), []
    request = memory.request(LIMIT, lambda: calls.append("granted"), buffers=False)
    assert granted(request).charged == memory.held_bytes == LIMIT
    assert calls == []


@pytest.mark.parametrize(("size", "buffers"), [(0, 0), (1, 1), (BUFFER - 1, 1), (BUFFER, 1), (BUFFER + 1, 2), (20, 5)])
def test_buffers_are_rounded_up_and_charged_as_they_are(size: int, buffers: int) -> None:
    memory = Memory(LIMIT)
    grant = granted(memory.request(size, nothing, buffers=True))
    assert [len(buffer) for buffer in grant.buffers] == [BUFFER] * buffers
    assert grant.charged == memory.held_bytes == buffers * BUFFER


@pytest.mark.parametrize(("size", "buffers"), [(LIMIT + 1, False), (LIMIT + 1, True), (19, True)])
def test_what_can_never_be_granted_is_an_error_and_holds_nothing(size: int, buffers: bool) -> None:
    memory = Memory(LIMIT if not buffers or size > LIMIT else LIMIT - 1)
    with pytest.raises(ValueError, match="can never be held"):
        memory.request(size, nothing, buffers=buffers)
    assert memory.held_bytes == 0


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    memory, order = Memory(LIMIT), []
    first = memory.request(LIMIT - 2, nothing, buffers=False)
    memory.request(LIMIT, lambda: order.append("large"), buffers=False)
    small = [memory.request(1, lambda: order.append("small"), buffers=False) for _ in range(2)]
    assert [each.grant for each in small] == [None, None]
    granted(first).release()
    assert order == ["large"]


def test_releasing_twice_gives_back_once() -> None:
    memory = Memory(LIMIT)
    one, other = (granted(memory.request(8, nothing, buffers=True)) for _ in range(2))
    one.release()
    one.release()
    assert memory.held_bytes == other.charged
    buffers = granted(memory.request(12, nothing, buffers=True)).buffers
    assert len({id(buffer) for buffer in (*buffers, *other.buffers)}) == 5


def test_a_request_cancelled_before_it_is_granted_takes_nothing_and_is_not_called() -> None:
    memory, calls = Memory(LIMIT), []
    first = memory.request(LIMIT, nothing, buffers=False)
    waiting = memory.request(1, lambda: calls.append("granted"), buffers=False)
    waiting.cancel()
    waiting.cancel()
    granted(first).release()
    assert (memory.held_bytes, calls, waiting.grant) == (0, [], None)


def test_a_request_cancelled_after_it_is_granted_gives_back_once() -> None:
    memory = Memory(LIMIT)
    request, other = (memory.request(8, nothing, buffers=False) for _ in range(2))
    request.cancel()
    request.cancel()
    granted(request).release()
    assert memory.held_bytes == granted(other).charged


def test_who_gives_up_waiting_keeps_nobody_waiting_behind_him() -> None:
    memory, calls = Memory(LIMIT), []
    memory.request(12, nothing, buffers=False)
    large = memory.request(12, nothing, buffers=False)
    memory.request(8, lambda: calls.append("granted"), buffers=False)
    large.cancel()
    assert calls == ["granted"]


def test_who_gave_up_waiting_is_not_waited_for() -> None:
    memory = Memory(LIMIT)
    memory.request(12, nothing, buffers=False)
    memory.request(12, nothing, buffers=False).cancel()
    assert memory.request(8, nothing, buffers=False).grant is not None


def test_buffers_are_used_again() -> None:
    memory = Memory(LIMIT)
    seen = set()
    for _ in range(10):
        grant = granted(memory.request(LIMIT, nothing, buffers=True))
        seen |= {id(buffer) for buffer in grant.buffers}
        grant.release()
    assert len(seen) == LIMIT // BUFFER


@pytest.mark.parametrize("touched", [0, 1, 2, 5, 50])
def test_touched_memory_is_what_is_granted_and_no_more_than_the_limit(
    touched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = resource.getpagesize()
    monkeypatch.setattr(module, "BUFFER_BYTES", 2 * page)
    memory = Memory(10 * page)
    memory.touch(touched * 2 * page)
    memory.touch(touched * 2 * page)
    assert memory.held_bytes == 0
    buffers = granted(memory.request(10 * page, nothing, buffers=True)).buffers
    assert sum(buffer[0] == buffer[page] == 1 for buffer in buffers) == min(touched, 5)


def test_free_buffers_are_dropped_as_soon_as_others_need_their_memory() -> None:
    memory = Memory(LIMIT)
    granted(memory.request(LIMIT, nothing, buffers=True)).release()
    for _ in range(LIMIT):
        memory.request(1, nothing, buffers=False)
    assert memory._buffers == []


class Wish:
    """A request as its holder sees it."""

    def __init__(self, memory: Memory, size: int, buffers: bool, when_granted: Callable[[Wish], None]) -> None:
        self.size, self.cancelled, self.released, self.calls = size, False, False, 0
        self._when_granted = when_granted
        self.returned = False
        self.request = memory.request(size, self._granted, buffers=buffers)
        self.returned = True
        self.at_once = self.request.grant is not None

    def _granted(self) -> None:
        assert self.returned, "called before the request returned"
        assert not self.cancelled, "called though nobody wants it"
        assert self.request.grant is not None
        self.calls += 1
        self._when_granted(self)

    def release(self) -> None:
        self.released = True
        granted(self.request).release()

    def cancel(self) -> None:
        self.cancelled = True
        self.request.cancel()

    @property
    def waits(self) -> bool:
        return self.request.grant is None and not self.cancelled

    @property
    def held(self) -> Grant | None:
        return self.request.grant if not (self.released or self.cancelled) else None


class MemoryMachine(RuleBasedStateMachine):
    """Anybody asks, gives back and gives up, at any time, also from within the call that grants."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(LIMIT)
        self.wishes: list[Wish] = []

    @rule(
        size=st.integers(0, LIMIT), buffers=st.booleans(), then=st.sampled_from(["keep", "release", "cancel", "more"])
    )
    def ask(self, size: int, buffers: bool, then: str) -> None:
        def when_granted(wish: Wish) -> None:
            if then == "release":
                wish.release()
            elif then == "cancel":
                wish.cancel()
            elif then == "more":
                self.ask(size // 2, buffers, "keep")

        self.wishes.append(Wish(self.memory, size, buffers, when_granted))

    @precondition(lambda self: any(wish.held for wish in self.wishes))
    @rule(data=st.data(), twice=st.booleans())
    def release(self, data: st.DataObject, twice: bool) -> None:
        wish = data.draw(st.sampled_from([wish for wish in self.wishes if wish.held]))
        wish.release()
        if twice:
            wish.release()

    @precondition(lambda self: bool(self.wishes))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.wishes)).cancel()

    @invariant()
    def what_is_held_is_what_was_granted_and_below_the_limit(self) -> None:
        held = [wish.held for wish in self.wishes if wish.held]
        assert self.memory.held_bytes == sum(grant.charged for grant in held) <= LIMIT
        buffers = [id(buffer) for grant in held for buffer in grant.buffers]
        assert len(set(buffers)) == len(buffers), "two hold the same buffer"
        assert len(self.memory._buffers) * BUFFER <= LIMIT - self.memory.held_bytes, "free ones are memory too"

    @invariant()
    def nobody_is_overtaken(self) -> None:
        waiting = [wish.waits for wish in self.wishes if wish.waits or wish.request.grant is not None]
        assert waiting == sorted(waiting)

    @invariant()
    def who_waits_first_waits_for_want_of_memory(self) -> None:
        first = next((wish for wish in self.wishes if wish.waits), None)
        assert first is None or first.request.charged > LIMIT - self.memory.held_bytes

    @invariant()
    def each_is_called_once_when_it_is_granted_later(self) -> None:
        for wish in self.wishes:
            assert wish.calls == (wish.request.grant is not None and not wish.at_once)

    def teardown(self) -> None:
        """When all give back, all is there again: there is no deadlock."""
        while held := [wish for wish in self.wishes if wish.held]:
            held[0].release()
        assert not any(wish.waits for wish in self.wishes)
        assert self.memory.held_bytes == 0


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=50, stateful_step_count=30)
