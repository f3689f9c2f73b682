"""What an outcome must be: every byte that it lists what the log says came first, and its reason a true one."""

from __future__ import annotations

import msgspec

from bridge.checksums import crc64, hex16
from bridge.contract.outbound import CloudEvent, Orphaned, Outcome, SeriesResult
from tables.policies import Limits
from tests.sim.plans import Plan, Sent
from tests.sim.reference import Told
from tests.sim.storage import Storage
from tests.sim.world import World

TOLERANCE_S = 5.0
"""Between clocks of brokers."""


class Results:
    """Looks at outcomes."""

    def __init__(self, world: World, storage: Storage, limits: Limits) -> None:
        self.world = world
        self._limits = limits
        self._storage = storage
        self.blocks_lost = False
        """Storage has dropped what nobody had committed for a week."""
        self.topics_lost = False
        """Kafka has lost everything."""

    @property
    def excused(self) -> bool:
        """Something was lost that producers have to send again, and nobody promises that they are in time."""
        return self.blocks_lost or self.topics_lost

    def decided(self, plan: Plan, told: Told, outcome: Outcome) -> None:
        """An outcome that has just been written."""
        if outcome.outcome == "Completed":
            self._completed(plan, told, outcome)
            return
        problem = outcome.problem
        assert problem is not None
        code = problem.code
        if code == "completion-timeout":
            since_s = told.complete_s
            if since_s is None and "partial" in plan.quirks:
                since_s = told.created_s + self._limits.awaiting_s
            tried_s = self.world.now_s - (since_s if since_s is not None else self.world.now_s)
            long = tried_s > self._limits.completing_max_s - TOLERANCE_S
            self.world.require(long, "I9", f"{plan.id} failed for {code} after {tried_s:.0f} s")
        elif outcome.outcome == "Failed":
            # Of a run that only storage tells of, the log does not say which of two contents it holds.
            guessed = code == "conflicting-payload" and told.unseen and "other bytes" in plan.quirks
            true = (code in told.contradictions or guessed) and "keep first" not in plan.quirks
            self.world.require(true, "I2", f"{plan.id} failed for {code}, the log says {sorted(told.contradictions)}")
        elif code in ("no-header", "timeout"):
            late = self._late(plan, told, code)
            self.world.require(late, "I9", f"{plan.id} is abandoned for {code}, and was sent in time")
        elif code == "cancelled":
            self.world.require("cancel" in told.commands, "I2", f"{plan.id} is cancelled, and nobody wanted that")

    def _late(self, plan: Plan, told: Told, code: str) -> bool:
        """Whether something that was needed was not in a queue when its time was over, or contradicts."""
        if plan.never or plan.contradicts or self.excused:
            return True
        limit_s = self._limits.header_s if code == "no-header" else self._limits.awaiting_s
        wanted = [sent for sent in plan.sent if sent.needed and (code == "timeout" or sent.series is None)]
        return any(_is_late(sent, told.created_s + limit_s) for sent in wanted)

    def _completed(self, plan: Plan, told: Told, outcome: Outcome) -> None:
        names = [series.series_type for series in outcome.series]
        self.world.require(names == list(plan.totals), "I1", f"{plan.id} has the series {names}")
        self.world.require(
            told.complete or (outcome.partial and "partial" in plan.quirks), "I1", f"{plan.id} is not complete"
        )
        if outcome.partial and not self._late(plan, told, "timeout"):
            self.world.violate(f"I9: {plan.id} is partial, and was sent in time")
        bodies = {_content(sent.body): sent.body for sent in plan.sent if sent.series is not None}
        if told.unseen and "other bytes" in plan.quirks:
            return  # a run of which only storage tells may hold either of two contents
        told.guess({(sent.series, sent.ordinal): _content(sent.body) for sent in plan.sent if sent.needed})
        for series in outcome.series:
            self._series(plan, told, series, bodies, partial=outcome.partial)
        self.readable(outcome)

    def _series(self, plan: Plan, told: Told, series: SeriesResult, bodies: dict[str, bytes], *, partial: bool) -> None:
        name = series.series_type
        if partial:
            ranges = series.received or ()
            ordinals = [ordinal for first, last in ranges for ordinal in range(first, last + 1)]
        else:
            ordinals = list(range(1, told.totals[name] + 1))
        unknown = [ordinal for ordinal in ordinals if (name, ordinal) not in told.first]
        self.world.require(not unknown, "I1", f"series {name} of {plan.id} has {unknown}, which never came")
        wanted = b"".join(bodies[told.first[name, ordinal]] for ordinal in ordinals)
        found = b"".join(self._storage.body(self._name(part.uri)) or b"" for part in series.parts)
        crcs = [hex16(crc64([self._storage.body(self._name(part.uri)) or b""])) for part in series.parts]
        right = found == wanted and series.bytes == len(wanted) and crcs == [part.crc64 for part in series.parts]
        self.world.require(right, "I1", f"series {name} of {plan.id} is {found!r}, what came first is {wanted!r}")

    def readable(self, outcome: Outcome) -> None:
        """I6: every part that is listed can be read as it is listed."""
        for series in outcome.series:
            for part in series.parts:
                there = self._storage.etag(self._name(part.uri)) == part.etag
                self.world.require(there, "I6", f"{part.uri} is not there as the outcome lists it")

    def orphans_first(self, outcome: Outcome, told: Told, event: CloudEvent | None) -> None:
        """What belongs to no result is told before the outcome is."""
        if outcome.problem is None or outcome.problem.code != "no-header":
            return
        if event is None:
            self.world.violate(f"I4: {outcome.transaction_id} is told, and not what is orphaned by it")
        orphaned = msgspec.json.decode(event.data, type=Orphaned)
        known = {
            (series.series_type, ordinal)
            for series in orphaned.series
            for first, last in series.received
            for ordinal in range(first, last + 1)
        }
        self.world.require(known <= told.first.keys(), "I4", f"{outcome.transaction_id} has orphans that never came")

    def _name(self, uri: str) -> str:
        return uri.removeprefix(self._storage.uri(""))


def _is_late(sent: Sent, deadline_s: float) -> bool:
    return sent.queued_by_clock is None or sent.queued_by_clock > deadline_s - TOLERANCE_S


def _content(body: bytes) -> str:
    return hex16(crc64([body])) if body else ""
