"""A tracker that crashes anywhere and reads again what it had not committed knows what one knows that never did."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from playbook import START, T1, command, delivered, header, payload, refused, run, told
from tracker import MINE, Clock, Tracker, WriteOnce, Written, plain

from bridge.contract import events
from bridge.contract.events import AnyEvent, PayloadsStaged, Staged, Tick
from streams import assemble, partition
from streams.record import Record
from tables import receipts
from tables.effects import Deliver
from tables.transaction import FINAL

MESSAGES: list[tuple[Staged | AnyEvent, ...]] = [
    *((payload("a", ordinal, of=3),) for ordinal in (1, 2, 3)),
    (payload("a", 1, of=3), payload("a", 2, of=3)),
    (payload("a", 2, of=3), payload("a", 2, of=3, body="y"), payload("a", 1, of=3)),
    (run("a", 1, "x", "x", of=3), payload("a", 1, of=3)),
    (payload("u", 1, of=1),),
    (payload("a", 1, of=4),),
]
HEADERS = [header(a=3, on_conflict=policy) for policy in ("keep-first", "fail")]
OTHERS: list[AnyEvent] = [
    header(a=3, on_conflict="keep-first", conflicting="other"),
    *(command(action, name=f"{action}-{n}", extend=60.0) for action in ("retry", "extend") for n in (1, 2)),
    command("cancel"),
    *(refused(outcome) for outcome in ("Completed", "Failed")),
]


class Table:
    """What Kafka has of a table: everything up to the last commit, and of what was written since perhaps the first."""

    def __init__(self, kind: type[dict[str, Any]]) -> None:
        self._kind = kind
        self.committed: dict[str, Any] = {}
        self.written: list[tuple[str, Any]] = []
        self.live = self.replayed(0)

    def replayed(self, kept: int) -> dict[str, Any]:
        """A worker's copy after its crash, that notes what is written to it."""
        rows = {**self.committed}
        for key, value in self.written[:kept]:
            rows.pop(key, None)
            if value is not None:
                rows[key] = value
        del self.written[kept:]
        return self.noting(dict(reversed(rows.items())))  # a table has no order

    def noting(self, rows: dict[str, Any]) -> dict[str, Any]:
        written = self.written

        class Noting(self._kind):  # type: ignore[name-defined,misc]
            def __setitem__(self, key: str, value: Any) -> None:
                super().__setitem__(key, value)
                written.append((key, value))

            def pop(self, key: str, *default: Any) -> Any:
                written.append((key, None))
                return super().pop(key, *default)

        found: dict[str, Any] = Noting()
        dict.update(found, rows)
        return found

    def commit(self) -> None:
        self.committed = {**self.live}
        self.written.clear()


class Crashing(RuleBasedStateMachine):
    """Two trackers over one log; one of them crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.clock = Clock()
        for module in (assemble, partition):
            self.patch.setattr(module, "time", self.clock)
        self.steady, self.crashing = Tracker(self.clock), Tracker(self.clock)
        self.rows, self.shown = Table(WriteOnce), Table(Written)
        self.log: list[Record] = []
        self.read = 0
        """Records of the log whose offsets are committed."""
        self.restart()

    def teardown(self) -> None:
        self.patch.undo()

    def restart(self) -> None:
        self.crashing.rows, self.crashing.shown = self.rows.live, self.shown.live
        self.crashing.start()

    def tell(self, *facts: Staged | AnyEvent) -> None:
        staged = tuple(fact for fact in facts if isinstance(fact, Staged))
        event = PayloadsStaged(T1, staged, START) if staged else facts[0]
        record = self.steady.record(events.encode(event))
        self.log.append(record)
        self.steady.assembler.take(record)
        self.crashing.assembler.take(record)

    @rule(facts=st.sampled_from(MESSAGES))
    def message(self, facts: tuple[Staged | AnyEvent, ...]) -> None:
        self.tell(*facts)

    @rule(said=st.sampled_from(HEADERS))
    def header_message(self, said: AnyEvent) -> None:
        self.tell(said)

    @rule(facts=st.permutations(range(4)))
    def everything(self, facts: list[int]) -> None:
        for number in facts:
            self.tell(HEADERS[0]) if number == 0 else self.message(MESSAGES[number - 1])

    @precondition(lambda self: self.steady.shown)
    @rule(said=st.sampled_from(OTHERS))
    def other(self, said: AnyEvent) -> None:
        self.tell(said)

    @precondition(lambda self: self.steady.outbox.sent)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        effect = data.draw(st.sampled_from(self.steady.outbox.sent))
        if not isinstance(effect, Deliver):
            self.tell(told(effect.id))

    @precondition(lambda self: self.steady.asked() and self.steady.index())
    @rule(data=st.data(), crashes=st.booleans())
    def outcome(self, data: st.DataObject, crashes: bool) -> None:
        self.tell(delivered(self.steady.outbox.delivered[-1].outcome))
        if crashes:
            self.crash(data)

    @rule(pause_s=st.sampled_from([0.0, 2.0, 16.0, 600.0]))
    def tick(self, pause_s: float) -> None:
        self.clock.now_s += pause_s
        self.tell(Tick(START))

    @rule()
    def commit(self) -> None:
        self.rows.commit()
        self.shown.commit()
        self.read = len(self.log)

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        for table in (self.rows, self.shown):
            table.live = table.replayed(data.draw(st.integers(0, len(table.written))))
        self.restart()
        for record in self.log[self.read :]:
            self.crashing.assembler.take(record)
        if self.read == len(self.log):
            self.tell(Tick(START))  # or nobody has looked at the partition yet

    @invariant()
    def have_the_same_rows(self) -> None:
        # Of what is closed the others go with a tick, and a tick that is read again may come before the outcome.
        kept = [receipts.outcome_key(name) for name in self.steady.closed()] or [*self.steady.rows]
        assert {key: self.crashing.rows[key] for key in kept} == {key: self.steady.rows[key] for key in kept}
        assert self.steady.closed() or len(self.crashing.rows) == len(kept)

    @invariant()
    def know_the_same(self) -> None:
        one, other = self.crashing.index(), self.steady.index()
        assert {name: plain(each) for name, each in one.items()} == {name: plain(each) for name, each in other.items()}
        assert self.crashing.closed() == self.steady.closed()

    @invariant()
    def know_what_the_rows_say(self) -> None:
        for name, transaction in self.crashing.index().items():
            assert plain(receipts.fold(name, map(receipts.read, self.crashing.rows.values()))) == plain(transaction)

    @invariant()
    def show_the_same_state(self) -> None:
        assert {name: row["state"] for name, row in self.crashing.shown.items()} == {
            name: row["state"] for name, row in self.steady.shown.items()
        }

    @invariant()
    def count_what_they_show(self) -> None:
        shown = Counter(row["state"] for row in self.steady.shown.values())
        assert self.crashing.counted() == self.steady.counted() == shown

    @invariant()
    def ask_for_the_same_outcome(self) -> None:
        transaction = self.steady.index().get(T1)
        if transaction is not None and transaction.verdict is not None and self.crashing.asked():
            assert self.crashing.outbox.delivered[-1].outcome == transaction.verdict.outcome

    @invariant()
    def keep_only_the_outcome_of_what_is_closed(self) -> None:
        if self.steady.closed() and not self.crashing.assembler.wants_tick(MINE):
            assert list(self.crashing.rows) == [receipts.outcome_key(T1)]
            assert self.crashing.shown[T1]["state"] in FINAL


Crashing.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestCrashing = Crashing.TestCase
