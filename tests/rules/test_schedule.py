"""A schedule brings up each name no later than it should, and each once."""

from __future__ import annotations

from datetime import datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from playbook import START, seconds

from streams.schedule import Schedule

names = st.sampled_from("abc")
moments = st.integers(0, 30)


class Schedules(RuleBasedStateMachine):
    """Beside a dictionary of the earliest moment of each name."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule()
        self.wanted: dict[str, int] = {}

    @rule(name=names, at_s=moments)
    def put(self, name: str, at_s: int) -> None:
        self.schedule.put(name, START + seconds(at_s))
        self.wanted[name] = min(at_s, self.wanted.get(name, at_s))

    @rule(name=names)
    def put_nothing(self, name: str) -> None:
        self.schedule.put(name, None)

    @rule(name=names)
    def drop(self, name: str) -> None:
        self.schedule.drop(name)
        self.wanted.pop(name, None)

    @rule(now_s=moments)
    def take(self, now_s: int) -> None:
        taken = self.schedule.take(START + seconds(now_s))
        assert len(taken) == len(set(taken))
        assert set(taken) == {name for name, at_s in self.wanted.items() if at_s <= now_s}
        assert [self.wanted[name] for name in taken] == sorted(self.wanted[name] for name in taken)
        self.wanted = {name: at_s for name, at_s in self.wanted.items() if at_s > now_s}

    @invariant()
    def know_when(self) -> None:
        earliest: datetime | None = START + seconds(min(self.wanted.values())) if self.wanted else None
        assert self.schedule.next == earliest


Schedules.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSchedules = Schedules.TestCase


def test_what_is_moved_again_and_again_leaves_nothing_behind() -> None:
    schedule = Schedule()
    for moment_s in range(1_000, 0, -1):
        schedule.put("a", START + seconds(moment_s))
        schedule.put("a", START + seconds(moment_s + 5))
    assert schedule.take(START) == []
    schedule.drop("a")
    assert schedule.next is None
    assert schedule._heap == []
