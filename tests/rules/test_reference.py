"""A transaction and its owner beside a plain model: dictionaries, sets and numbers that are told the same."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from playbook import START, Playbook, command, delivered, header, passes, payload, refused, run, stalled

from bridge.contract.events import HeaderReceived, Staged
from tables.decisions import Expired, GapNoticed, Overdue
from tables.effects import Announce
from tables.policies import Limits

LIMITS = Limits(
    header_s=60.0, idle_s=30.0, awaiting_s=200.0, completing_s=50.0, completing_max_s=150.0, early_payloads_max=4
)
OUTCOMES = ["Completed", "Failed", "Abandoned"]


class Model:
    """What should be known, in seconds since the beginning."""

    def __init__(self) -> None:
        self.now_s = self.mark_s = 0.0
        self.created_s: float | None = None
        self.header: HeaderReceived | None = None
        self.totals: dict[str, int] = {}
        self.contents: dict[tuple[str, int], str] = {}
        self.conflict: str | None = None
        self.verdict: tuple[str, str | None, bool] | None = None
        self.decided_s = 0.0
        self.outcome: str | None = None
        self.refusals = 0
        self.next_try_s = 0.0
        self.progress_s = 0.0
        """When something new came last, or anything at all first."""
        self.gaps = self.gap_repeats = 0
        self.gap_s: float | None = None
        """When the last one was noticed; None when something has come since."""
        self.overdue = False
        self.extended_s = 0.0
        self.orders: set[str] = set()
        self.untold: set[tuple[str, int]] = set()
        self.decisions: list[tuple[object, ...]] = []

    def begin(self) -> None:
        if self.created_s is None:
            self.created_s = self.progress_s = self.now_s

    # Messages

    def hear_header(self, fact: HeaderReceived) -> None:
        if self.header is None:
            self.header = fact
            self.untold.add(("accepted", 0))
            self.progress()
            if (self.totals.setdefault("a", 2), self.totals.setdefault("c", 0)) != (2, 0):
                self.contradict("conflicting-total-count")
            if "u" in self.totals:
                self.contradict("unknown-series")
        if fact.conflicting_digest:
            self.contradict("conflicting-header")

    def hear_staged(self, fact: Staged) -> None:
        if self.header and fact.series == "u":
            self.contradict("unknown-series")
            if not self.keeps_first or self.verdict:
                return
        said = {(fact.series, ordinal): crc64 for ordinal, crc64 in enumerate(fact.crc64s, fact.first)}
        if self.totals.get(fact.series, fact.total_count) != fact.total_count:
            self.contradict("conflicting-total-count")
        elif any(self.contents.get(slot, crc64) != crc64 for slot, crc64 in said.items()):
            self.contradict("conflicting-payload")
        elif not said.keys() <= self.contents.keys() and not self.verdict:
            self.totals[fact.series] = fact.total_count
            self.contents |= said
            self.progress()

    def progress(self) -> None:
        self.progress_s, self.gap_s = self.now_s, None
        self.untold -= {each for each in self.untold if each[0] == "gap"}

    def contradict(self, code: str) -> None:
        if self.verdict is None and self.conflict is None:
            self.conflict = code

    @property
    def keeps_first(self) -> bool:
        return self.header is not None and self.header.header.on_conflict == "keep-first"

    def judge(self) -> None:
        if self.header is None:
            if len(self.contents) > LIMITS.early_payloads_max:
                self.decide("Failed", "early-limit")
        elif self.conflict and not self.keeps_first:
            self.decide("Failed", self.conflict)
        elif all(
            name in self.totals and all((name, n) in self.contents for n in range(1, self.totals[name] + 1))
            for name in "abc"
        ):
            self.decide("Completed", None)

    def decide(self, outcome: str, code: str | None, *, partial: bool = False) -> None:
        if self.verdict is None:
            self.decided_s = self.now_s
        elif self.verdict[0] != "Completed" or outcome == "Completed":
            return
        self.verdict = outcome, code, partial
        self.refusals, self.next_try_s = 0, self.now_s
        self.untold -= {each for each in self.untold if each[0] == "gap"}

    # Time

    def moments(self) -> list[tuple[float, float, str]]:
        """When what comes, and what time it is by the clock that counts; in the order in which they count."""
        if self.outcome is not None or self.created_s is None:
            return []
        if self.verdict is None:
            gap_s = self.progress_s + 30 if self.gap_s is None else self.gap_s + 30 * 2 ** min(self.gap_repeats, 6)
            found = [(self.created_s + 60 + self.extended_s, self.mark_s, "header")] if self.header is None else []
            found += [(self.created_s + 200 + self.extended_s, self.mark_s, "awaiting"), (gap_s, self.mark_s, "gap")]
        else:
            found = [] if self.overdue else [(self.decided_s + 50, self.now_s, "overdue")]
            if self.verdict[0] == "Completed":
                found.append((self.decided_s + 150, self.now_s, "failed"))
        return sorted([each for each in found if each[0] <= each[1]], key=lambda each: each[0])

    def pass_time(self) -> None:
        while moments := self.moments():
            match moments[0][2]:
                case "header":
                    self.expire("Abandoned", "no-header")
                case "awaiting" if self.header and self.header.header.on_timeout == "partial":
                    self.expire("Completed", None, partial=True)
                case "awaiting":
                    self.expire("Abandoned", "timeout")
                case "failed":
                    self.expire("Failed", "completion-timeout")
                case "overdue":
                    self.overdue = True
                    self.untold.add(("overdue", 0))
                    self.decisions.append(("overdue",))
                case "gap":
                    self.gap_repeats = 0 if self.gap_s is None else self.gap_repeats + 1
                    self.gap_s, self.gaps = self.now_s, self.gaps + 1
                    self.untold = {each for each in self.untold if each[0] != "gap"} | {("gap", self.gaps)}
                    self.decisions.append(("gap", self.gaps))

    def expire(self, outcome: str, code: str | None, *, partial: bool = False) -> None:
        self.decisions.append(("expired", outcome, code, partial))
        self.decide(outcome, code, partial=partial)


def said(decision: object) -> tuple[object, ...]:
    match decision:
        case GapNoticed():
            return "gap", decision.sequence
        case Expired():
            return "expired", decision.outcome, decision.problem and decision.problem.code, decision.partial
        case Overdue():
            return ("overdue",)
    raise AssertionError(decision)


class Reference(RuleBasedStateMachine):
    """The rules and the model are told the same, and know the same after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Playbook(LIMITS)
        self.model = Model()

    @initialize(
        conflict=st.sampled_from([None, "fail", "keep-first"]),
        timeout=st.sampled_from([None, "abandon", "partial"]),
        early=st.booleans(),
    )
    def begin(self, conflict: str | None, timeout: str | None, early: bool) -> None:
        self.said = header(a=2, b=None, c=0, on_conflict=conflict, on_timeout=timeout)
        if early:
            self.header_message(None)

    def tell(self, fact: HeaderReceived | Staged) -> None:
        self.book >> fact
        self.model.begin()
        if self.model.outcome is None:
            self.model.hear_header(fact) if isinstance(fact, HeaderReceived) else self.model.hear_staged(fact)
            self.model.judge()

    @rule(series=st.sampled_from("aab"), ordinal=st.integers(1, 2), body=st.sampled_from(["x", "x", "x", "x", "y", ""]))
    def payload(self, series: str, ordinal: int, body: str) -> None:
        self.tell(payload(series, ordinal, of=2, body=body))

    @rule(series=st.sampled_from("aab"), bodies=st.sampled_from(["xx", "xx", "xx", "xy"]))
    def two_payloads(self, series: str, bodies: str) -> None:
        self.tell(run(series, 1, *bodies, of=2))

    @rule(series=st.sampled_from("abcu"), of=st.sampled_from([2, 3]))
    def stray_payload(self, series: str, of: int) -> None:
        self.tell(payload(series, 1, of=of))

    @rule(conflicting=st.sampled_from([None, None, None, "other"]))
    def header_message(self, conflicting: str | None) -> None:
        self.tell(replace(self.said, conflicting_digest=conflicting))

    @precondition(lambda self: self.model.verdict is not None)
    @rule(outcome=st.sampled_from(OUTCOMES))
    def delivered(self, outcome: str) -> None:
        self.book >> delivered(outcome)
        self.model.outcome = self.model.outcome or outcome

    @precondition(lambda self: self.model.created_s is not None)  # or the host passes over it
    @rule(outcome=st.sampled_from(OUTCOMES))
    def refused(self, outcome: str) -> None:
        self.book >> refused(outcome)
        model = self.model
        if model.outcome is None and model.verdict is not None and model.verdict[0] == outcome:
            model.refusals += 1
            model.next_try_s = model.now_s + min(60, 2 ** (model.refusals - 1))

    @rule(wait_s=st.sampled_from([0.5, 1.0, 29.5, 30.0, 45.0, 150.0]), stands_still=st.booleans())
    def wait(self, wait_s: float, stands_still: bool) -> None:
        model = self.model
        model.now_s += wait_s
        if not stands_still:
            model.mark_s = model.now_s
        self.book >> (stalled(seconds=wait_s) if stands_still else passes(seconds=wait_s))
        model.pass_time()

    @rule(action=st.sampled_from(["retry", "extend", "extend", "cancel"]), number=st.integers(1, 3))
    def order(self, action: str, number: int) -> None:
        name = f"{action}-{number}"
        self.book >> command(action, name=name, extend=25.0)
        model = self.model
        model.begin()
        if model.outcome is not None or name in model.orders:
            return
        model.orders.add(name)
        if action == "cancel":
            model.decide("Abandoned", "cancelled")
        elif action == "extend" and model.verdict is None:
            model.extended_s += 25
        elif action == "retry" and model.verdict is not None:
            model.refusals, model.next_try_s = 0, model.now_s

    @rule()
    def everything_is_told(self) -> None:
        self.book.told_all()
        self.model.untold = set()

    @rule(order=st.randoms(use_true_random=False))
    def another_owner(self, order: object) -> None:
        """It has the rows alone: what is counted, and when a refused delivery is tried again, is not in them."""
        if self.book.rows:
            self.book.rebuilt(lambda rows: order.sample(rows, len(rows)))
            self.model.refusals, self.model.next_try_s = 0, self.model.now_s

    @invariant()
    def know_the_same(self) -> None:
        mine, model = self.book.transaction, self.model
        assert mine.state == (model.outcome or ("AwaitingResults" if model.verdict is None else "SendingCompletion"))
        verdict = mine.verdict and (
            mine.verdict.outcome,
            mine.verdict.problem and mine.verdict.problem.code,
            mine.verdict.partial,
        )
        assert verdict == model.verdict
        assert (mine.conflict and mine.conflict.code) == model.conflict
        totals = {name: series.total_count for name, series in mine.series.items() if series.total_count is not None}
        assert totals == model.totals
        received = {(name, n + 1) for name, series in mine.series.items() for n in range(3) if series.received >> n & 1}
        assert received == {*model.contents}
        assert (mine.extended_s, mine.gap.sequence if mine.gap else 0) == (model.extended_s, model.gaps)
        assert {each.id for each in mine.commands} == model.orders

    @invariant()
    def want_the_same(self) -> None:
        model = self.model
        driven = model.verdict is not None and model.outcome is None and model.now_s >= model.next_try_s
        assert [each.outcome for each in self.book.due()] == ([model.verdict[0]] if driven and model.verdict else [])
        told = {(each.kind, each.sequence) for each in self.book.effects() if isinstance(each, Announce)}
        assert told == (model.untold if model.outcome is None else set())

    @invariant()
    def decide_the_same_once(self) -> None:
        assert [said(each) for each in self.book.decisions] == self.model.decisions

    @invariant()
    def nobody_waits_too_long(self) -> None:
        """Whatever the clocks say has come is decided, and nothing that has not."""
        assert self.model.moments() == []
        assert (self.book.now - START).total_seconds() == self.model.now_s


Reference.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestReference = Reference.TestCase
