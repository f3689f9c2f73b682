"""What must hold in a world, whatever happened: looked at when it happens, and when nothing more happens.

The checks see what somebody outside sees: messages and acknowledgements on the broker, records of the topics, blobs.
They do not ask the product what it thinks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bridge import topology
from bridge.checksums import crc64, hex16
from bridge.contract.events import Delivered, HeaderReceived, PayloadsStaged
from bridge.contract.outbound import CloudEvent, Outcome, Told
from bridge.layout import OUTCOME_BLOB, TOLD_BLOB, PartName
from streams.record import Record
from tests.sim.installation import Installation
from tests.sim.kafka import Log
from tests.sim.rabbit import Message
from tests.sim.workload import Plan, Sent, Workload


class Checks:
    """Hooked into everything of an installation."""

    def __init__(self, installation: Installation, workload: Workload) -> None:
        self.world = installation.world
        self._installation = installation
        self._storage = installation.storage
        self._plans = workload.plans
        self.outcomes: dict[str, Outcome] = {}
        self._outcome_bodies: dict[str, bytes] = {}
        self.told: dict[str, Told] = {}
        self.delivered: dict[str, Delivered] = {}
        self._notices: dict[str, dict[str, bytes]] = {}
        """Transaction -> id -> body of everything that was told of its outcome."""
        self._headers: dict[str, str] = {}
        """Digest of the header that was first in the log."""
        self._facts: set[tuple[str, str, int, int, str]] = set()
        """Transaction, series, ordinal, total count, CRC-64 of what the log tells."""
        self.first: dict[tuple[str, str, int], str] = {}
        """Transaction, series, ordinal -> CRC-64 of the first fact that counts."""
        for log in installation.kafka.events:
            log.on_append = self._event
        installation.storage.on_change = self._changed
        installation.rabbit.on_ack = self._acked
        installation.rabbit.on_notice = self._noticed
        installation.rabbit.on_rejected = self._rejected

    # Facts

    def _event(self, log: Log, record: Record, said: object) -> None:
        if isinstance(said, PayloadsStaged):
            for staged in said.staged:
                for place, crc in enumerate(staged.crc64s):
                    ordinal = staged.first + place
                    crc = crc if staged.sizes[place] else ""
                    self._facts.add((said.transaction, staged.series, ordinal, staged.total_count, crc))
        elif isinstance(said, HeaderReceived):
            self._headers.setdefault(said.transaction, said.digest)
        elif isinstance(said, Delivered):
            outcome = self.outcomes.get(said.transaction)
            self.world.require(outcome is not None, "I2", f"{said.transaction} is delivered and has no outcome")
            assert outcome is not None
            self.world.require(
                outcome.outcome == said.outcome, "I2", f"{said.transaction} is {outcome.outcome}, said {said.outcome}"
            )
            self.world.require(said.transaction in self.told, "I5", f"{said.transaction} is delivered and was not told")
            self.delivered[said.transaction] = said

    # Messages

    def _acked(self, message: Message) -> None:
        sent: Any = message.published
        assert isinstance(sent, Sent)
        sent.acked += 1
        plan = sent.plan
        if sent.series is None:
            self.world.require(plan.id in self._headers, "I3", f"a header of {plan.id} is acknowledged without a fact")
            return
        crc = hex16(crc64([sent.body])) if sent.body else ""
        fact = plan.id, sent.series, sent.ordinal, sent.total, crc
        self.world.require(fact in self._facts, "I3", f"{fact} is acknowledged without a fact")

    def _rejected(self, message: Message) -> None:
        sent: Any = message.published
        sent.rejected += 1
        self.world.require(not sent.valid, "I4", f"a message of {sent.plan.id} that is right was rejected")

    # Storage

    def _changed(self, what: str, name: str, said: Any) -> None:
        transaction, _, rest = name.partition("/")
        if what == "write" and rest == OUTCOME_BLOB:
            self._decided(transaction, said)
        elif what == "write" and rest == TOLD_BLOB:
            self._marked(transaction, msgspec.json.decode(said, type=Told))
        elif what == "delete":
            outcome = self.outcomes.get(transaction)
            listed = outcome is not None and any(
                part.uri == self._storage.uri(name) and part.etag == said
                for series in outcome.series
                for part in series.parts
            )
            self.world.require(not listed, "I6", f"{name} is in an outcome and was deleted")
        elif what == "commit":
            outcome = self.outcomes.get(transaction)
            if outcome is not None:
                for series in outcome.series:
                    for part in series.parts:
                        self.world.require(
                            part.uri != self._storage.uri(name), "I1", f"{name} was written over after the outcome"
                        )

    def _decided(self, transaction: str, body: bytes) -> None:
        before = self._outcome_bodies.get(transaction)
        self.world.require(before is None, "I2", f"{transaction} has a second outcome: {body!r} after {before!r}")
        outcome = msgspec.json.decode(body, type=Outcome)
        self._outcome_bodies[transaction] = body
        self.outcomes[transaction] = outcome
        self.world.note("outcome", transaction, outcome.outcome, outcome.problem and outcome.problem.code)
        if outcome.outcome == "Completed":
            self._whole(self._plans[transaction], outcome)

    def _whole(self, plan: Plan, outcome: Outcome) -> None:
        """I1: every byte of a result is what was sent."""
        names = [series.series_type for series in outcome.series]
        self.world.require(names == list(plan.totals), "I1", f"{plan.id} has the series {names}")
        for series in outcome.series:
            total = plan.totals[series.series_type]
            found = b""
            for part in series.parts:
                name = part.uri.removeprefix(self._storage.uri(""))
                body = self._storage.body(name)
                self.world.require(
                    body is not None and self._storage.etag(name) == part.etag, "I6", f"{name} is not as listed"
                )
                assert body is not None
                found += body
            wanted = b"".join(plan.bodies[series.series_type, ordinal] for ordinal in range(1, total + 1))
            self.world.require(
                found == wanted and series.total_count == total and series.bytes == len(wanted),
                "I1",
                f"series {series.series_type} of {plan.id} has {found!r}, sent was {wanted!r}",
            )

    def _marked(self, transaction: str, told: Told) -> None:
        self.world.require(transaction not in self.told, "I5", f"{transaction} was marked as told twice")
        self.world.require(
            told.notification_id in self._notices.get(transaction, {}),
            "I5",
            f"{transaction} is marked as told, and nobody was",
        )
        self.told[transaction] = told

    # Notices

    def _noticed(self, queue: str, key: str, event: CloudEvent) -> None:
        if queue != topology.NOTIFICATIONS or key.split(".")[1] not in ("completed", "failed", "abandoned"):
            return
        transaction = event.subject or ""
        outcome = self.outcomes.get(transaction)
        self.world.require(outcome is not None, "I6", f"{transaction} is told and has no outcome")
        assert outcome is not None
        self.world.require(
            key.split(".")[1] == outcome.outcome.lower(), "I2", f"{transaction} is {outcome.outcome}, told was {key}"
        )
        body = msgspec.json.encode(event)
        known = self._notices.setdefault(transaction, {})
        known.setdefault(event.id, body)
        self.world.require(len(known) == 1, "I5", f"{transaction} was told under the ids {sorted(known)}")
        self.world.require(known[event.id] == body, "I5", f"{transaction} was told in two ways")

    # When nothing happens any more

    def open(self) -> list[Plan]:
        """Transactions that should have an end by now, and have none."""
        return [plan for plan in self._plans.values() if plan.id not in self.delivered]

    def left_over(self) -> list[str]:
        """Parts that no outcome lists; what is staged on a part that is committed is dropped by the service."""
        listed = {part.uri for outcome in self.outcomes.values() for series in outcome.series for part in series.parts}
        names = {*self._storage.names(), *self._storage.staged_names()}
        return [name for name in sorted(names) if PartName.parse(name) and self._storage.uri(name) not in listed]

    def at_rest(self) -> None:
        """What must be true in the end."""
        for plan in self._plans.values():
            self.world.require(plan.id in self.outcomes, "I10", f"{plan.id} has no outcome")
            self.world.require(plan.id in self.told, "I5", f"{plan.id} was never told")
            outcome = self.outcomes[plan.id]
            if plan.complete:
                self.world.require(
                    outcome.outcome == "Completed",
                    "I9",
                    f"{plan.id} was sent whole and in time, and is {outcome.outcome}: {outcome.problem}",
                )
            for sent in plan.sent:
                self.world.require(
                    sent.acked + sent.rejected == sent.copies,
                    "I4",
                    f"{sent.copies} copies of {sent.series}/{sent.ordinal} of {plan.id} were sent, "
                    f"{sent.acked} acknowledged, {sent.rejected} rejected",
                )
        self.world.require(not (left := self.left_over()), "I13", f"left over of closed transactions: {left}")
