"""What must hold in a world while it runs, looked at when it happens.

The checks see what somebody outside sees: messages and acknowledgements on the broker, records of the topics, blobs.
They do not ask the product what it thinks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bridge import topology
from bridge.checksums import crc64, hex16
from bridge.contract.events import Command, Delivered, HeaderReceived, PayloadsStaged
from bridge.contract.outbound import CloudEvent, Outcome
from bridge.contract.outbound import Told as Marker
from bridge.layout import HEADER_BLOB, OUTCOME_BLOB, TOLD_BLOB, PartName
from streams.record import Record
from tests.sim.installation import Installation
from tests.sim.kafka import Log
from tests.sim.rabbit import Message
from tests.sim.reference import Told
from tests.sim.results import Results
from tests.sim.tracker import Tracker
from tests.sim.workload import Sent, Workload
from tests.sim.world import EPOCH

FINAL = ("completed", "failed", "abandoned")


class Checks:
    """Hooked into everything of an installation."""

    def __init__(self, installation: Installation, workload: Workload) -> None:
        self.world = installation.world
        self.plans = workload.plans
        self.storage = installation.storage
        self.results = Results(self.world, self.storage, installation.limits)
        self.heard: dict[str, Told] = {}
        """What the log says of each transaction."""
        self._heard_before: dict[str, Told] = {}
        """What a log said that was lost: an outcome that was on its way decides by it."""
        self.outcomes: dict[str, Outcome] = {}
        self.told: dict[str, Marker] = {}
        self.delivered: dict[str, Delivered] = {}
        self.orphans: dict[str, CloudEvent] = {}
        self._notices: dict[str, dict[str, bytes]] = {}
        """Transaction -> id -> body of everything that was told of its outcome."""
        self._confirmed: set[tuple[str, str]] = set()
        """Transaction and id of what is in the queue of notifications."""
        self._facts: set[tuple[str, str, int, int, str]] = set()
        """Transaction, series, ordinal, total count, CRC-64 of what the log tells."""
        for log in installation.kafka.events:
            log.on_append = self._event
        for log in installation.kafka.parked:
            log.on_append = self._parked
        for log in installation.kafka.outcomes:
            log.on_append = self._published
        installation.storage.on_change = self._changed
        installation.rabbit.on_ack = self._acked
        installation.rabbit.on_notice = self._noticed
        installation.rabbit.on_rejected = self._rejected
        installation.on_recovered = self._recovered

    # Facts

    def _event(self, _log: Log, record: Record, said: object) -> None:
        if isinstance(said, PayloadsStaged | HeaderReceived | Command):
            told = self.heard.get(said.transaction)
            if told is None:
                if isinstance(said, Command):
                    return  # nothing comes into being by it
                created_s = (record.at - EPOCH).total_seconds()
                told = self.heard[said.transaction] = Told(created_s, record.offset)
            told.hear(said, record)
        if isinstance(said, HeaderReceived):
            kept = self.storage.body(f"{said.transaction}/{HEADER_BLOB}")
            first = msgspec.json.decode(kept)["digest"] if kept else None
            self.world.require(first == said.digest, "I1", f"a header of {said.transaction} is not the one kept")
        if isinstance(said, PayloadsStaged):
            for staged in said.staged:
                for place, crc in enumerate(staged.crc64s):
                    content = crc if staged.sizes[place] else ""
                    ordinal = staged.first + place
                    self._facts.add((said.transaction, staged.series, ordinal, staged.total_count, content))
        elif isinstance(said, Delivered):
            self._delivered(said)

    def _delivered(self, said: Delivered) -> None:
        name = said.transaction
        outcome = self.outcomes.get(name)
        if outcome is None:
            self.world.violate(f"I2: {name} is delivered and has no outcome")
        same = (outcome.outcome, self.storage.etag(f"{name}/{OUTCOME_BLOB}")) == (said.outcome, said.outcome_etag)
        self.world.require(same, "I2", f"{name} is {outcome.outcome}, the log says {said.outcome} {said.outcome_etag}")
        self.world.require(name in self.told, "I5", f"{name} is delivered and was not told")
        self.delivered[name] = said

    def _parked(self, _log: Log, _record: Record, said: object) -> None:
        self.world.violate(f"I4: a record was parked: {said}")

    def _recovered(self, tracker: Tracker, partition: int) -> None:
        """I8: what an owner recovers holds everything that is before the committed offset."""
        committed = tracker.group.committed.get(partition, 0)
        kept: dict[str, set[tuple[str, int]]] = {}
        settled: set[str] = set()
        for key, row in tracker.rows.items():
            transaction = key.partition("/")[0]
            if row["kind"] == "staged":
                fact = row["fact"]
                first, series = fact["first"], fact["series"]
                kept.setdefault(transaction, set()).update((series, first + at) for at in range(fact["count"]))
            elif row["kind"] in ("outcome", "decision", "command"):
                settled.add(transaction)
        for transaction, told in self.heard.items():
            mine = tracker.topics.partition_of(transaction) == partition
            if mine and transaction not in settled and not told.contradictions and transaction not in self.delivered:
                wanted = {at for at, offset in told.since.items() if offset < committed}
                lost = wanted - kept.get(transaction, set())
                self.world.require(not lost, "I8", f"{transaction} is recovered without {sorted(lost)}")

    # Messages

    def _acked(self, message: Message) -> None:
        sent: Any = message.published
        assert isinstance(sent, Sent)
        sent.acked += 1
        name = sent.plan.id
        self.world.require(sent.valid, "I4", f"a message of {name} that must be refused was accepted")
        if sent.series is None:
            # An acknowledgement may still be on its way when Kafka loses what it is for.
            fact = any(name in heard and heard[name].header for heard in (self.heard, self._heard_before))
            self.world.require(fact, "I3", f"a header of {name} is acknowledged without a fact")
            return
        content = hex16(crc64([sent.body])) if sent.body else ""
        said = name, sent.series, sent.ordinal, sent.total, content
        self.world.require(said in self._facts, "I3", f"{said} is acknowledged without a fact")

    def _rejected(self, message: Message) -> None:
        sent: Any = message.published
        sent.rejected += 1
        if sent.valid and not message.too_often:
            self.world.violate(f"I4: a message of {sent.plan.id} that is right was rejected")

    # Storage

    def _changed(self, what: str, name: str, said: Any) -> None:
        transaction, _, rest = name.partition("/")
        if what == "write" and rest == OUTCOME_BLOB:
            self._decided(transaction, said)
        elif what == "write" and rest == TOLD_BLOB:
            self._marked(transaction, msgspec.json.decode(said, type=Marker))
        elif what in ("delete", "commit") and (outcome := self.outcomes.get(transaction)) is not None:
            uri = self.storage.uri(name)
            listed = {part.uri: part.etag for series in outcome.series for part in series.parts}
            if what == "delete":
                self.world.require(listed.get(uri) != said, "I6", f"{name} is in an outcome and was deleted")
            else:
                self.world.require(uri not in listed, "I1", f"{name} was written over after the outcome")

    def _decided(self, transaction: str, body: bytes) -> None:
        before = self.outcomes.get(transaction)
        outcome = msgspec.json.decode(body, type=Outcome)
        self.world.note("outcome", transaction, outcome.outcome, outcome.problem and outcome.problem.code)
        self.world.require(before is None, "I2", f"{transaction} has a second outcome: {outcome} after {before}")
        self.outcomes[transaction] = outcome
        told = self._told_of(transaction)
        if self.storage.asked_in < self.storage.era:
            told = self._heard_before.get(transaction, told)
        self.results.decided(self.plans[transaction], told, outcome)

    def _marked(self, transaction: str, told: Marker) -> None:
        self.world.require(transaction not in self.told, "I5", f"{transaction} was marked as told twice")
        told_of = (transaction, told.notification_id) in self._confirmed
        self.world.require(told_of, "I5", f"{transaction} is marked as told, and nobody was")
        self.told[transaction] = told

    # Notices

    def _noticed(self, queue: str, key: str, event: CloudEvent) -> None:
        name = event.subject or ""
        if queue == topology.ORPHANS:
            self.orphans[name] = event
        if queue != topology.NOTIFICATIONS or (kind := key.split(".")[1]) not in FINAL:
            return
        self._outcome_told(name, kind, event)
        self._confirmed.add((name, event.id))

    def _published(self, _log: Log, _record: Record, said: object) -> None:
        assert isinstance(said, CloudEvent)
        self._outcome_told(said.subject or "", said.type.split(".")[2], said)

    def _outcome_told(self, name: str, kind: str, event: CloudEvent) -> None:
        outcome = self.outcomes.get(name)
        if outcome is None:
            self.world.violate(f"I6: {name} is told and has no outcome")
        self.world.require(kind == outcome.outcome.lower(), "I2", f"{name} is {outcome.outcome}, told was {kind}")
        self.results.readable(outcome)
        self.results.orphans_first(outcome, self._told_of(name), self.orphans.get(name))
        body = msgspec.json.encode(event)
        known = self._notices.setdefault(name, {})
        known.setdefault(event.id, body)
        self.world.require(len(known) == 1, "I5", f"{name} was told under the ids {sorted(known)}")
        self.world.require(known[event.id] == body, "I5", f"{name} was told in two ways")

    # For the end

    def begin_anew(self) -> None:
        """Kafka has lost its topics: what is first from now on is what counts, where there is no outcome yet."""
        self.results.topics_lost = True
        self.storage.era += 1
        for name, told in list(self.heard.items()):
            told.since.clear()
            if name not in self.outcomes:
                self._heard_before[name] = self.heard.pop(name)

    def _told_of(self, name: str) -> Told:
        return self.heard.get(name) or self._heard_before[name]

    def open(self) -> list[str]:
        """Transactions that somebody has heard of, and that have no end."""
        return [name for name in self.plans if name in self.heard and name not in self.delivered]

    def is_open(self, name: str) -> bool:
        """Somebody has heard of it, and nothing is decided."""
        return name in self.heard and name not in self.outcomes

    def left_over(self) -> list[str]:
        """Parts that no outcome lists; what is staged on a part that is committed is dropped by the service.

        So is, after a week, what was staged for a transaction that nobody has heard of: of a payload, say, whose bytes
        were not those that it had announced, and all others of its transaction were refused as well.
        """
        outcomes = self.outcomes.values()
        listed = {part.uri for outcome in outcomes for series in outcome.series for part in series.parts}
        staged = {name for name in self.storage.staged_names() if name.partition("/")[0] in self.heard}
        names = {*self.storage.names(), *staged}
        return [name for name in sorted(names) if PartName.parse(name) and self.storage.uri(name) not in listed]
