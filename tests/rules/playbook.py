"""Scripts for the rules: `>> fact` tells, `<< expectation` asks, and a failure prints the whole dialogue.

    Playbook() >> header(a=2) >> payload("a", 1, of=2) << State.AWAITING_RESULTS << asks_nothing
    Playbook() >> header(a=2) >> passes(minutes=10) << notices("gap") >> stalled(days=9) << State.AWAITING_RESULTS

Every line is carried out where it stands, so a script cannot be forgotten to be played.

A payload's body is a word. Each letter stands for 8 MiB, the last one for less, so `of=2000` (sub-blocks of 32 MiB)
cuts the same word into other blocks than `of=2` does, as `bridge.layout` wants it; the empty word is the empty payload.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge.contract.events import (
    Command,
    Delivered,
    DeliveryRefused,
    HeaderReceived,
    MessageRefused,
    Staged,
    Told,
)
from bridge.contract.inbound import Header, SeriesSpec, Timeouts
from bridge.contract.outbound import Problem
from bridge.layout import MIB, sub_block_bytes
from tables import ordinals, receipts
from tables.accept import block_ids
from tables.deadlines import Clock, deadlines, lapsed
from tables.decisions import Decision
from tables.due import due
from tables.effects import Announce, Deliver, Effect, KeepAlive, block_hash, delivery_id, digest_text
from tables.policies import Limits, Policies
from tables.rules import Fact, advance, opened
from tables.transaction import State, Transaction

T1 = "T1"
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
LETTER_BYTES = 8 * MIB


def crc64(word: str) -> str:
    """Stands for the CRC-64 of a word's bytes: 16 hex digits, other ones for other words."""
    return blake2b(word.encode(), digest_size=8).hexdigest()


def payload(series: str, ordinal: int, *, of: int, body: str = "x") -> Staged:
    letters = sub_block_bytes(of) // LETTER_BYTES
    cut = tuple(crc64(body[at : at + letters]) for at in range(0, len(body), letters))
    size = (len(body) - 1) * LETTER_BYTES + ord(body[-1]) if body else 0
    return Staged(series, ordinal, 1, of, (size,), (crc64(body),), cut)


def run(series: str, first: int, *bodies: str, of: int) -> Staged:
    """A run of payloads, each a letter or empty: as in life two runs of the same bytes in a row have the same block."""
    sizes = tuple(len(body) and ord(body) for body in bodies)
    return Staged(series, first, len(bodies), of, sizes, tuple(map(crc64, bodies)), (crc64("".join(bodies)),))


def header(
    *,
    conflicting: str | None = None,
    kind: str = "default",
    idle_s: float | None = None,
    awaiting_s: float | None = None,
    on_timeout: Any = None,
    on_conflict: Any = None,
    **total_counts: int | None,
) -> HeaderReceived:
    """A header that announces the series; `conflicting` is the digest of the other header that the message held."""
    specs = tuple(SeriesSpec(name, total) for name, total in total_counts.items())
    said = Header(specs, kind, on_timeout=on_timeout, on_conflict=on_conflict)
    if idle_s or awaiting_s:
        said = replace(said, timeouts=Timeouts(idle_s, awaiting_s))
    return HeaderReceived(T1, said, crc64(repr(said)), START, conflicting_digest=conflicting)


def problem(code: str) -> Problem:
    return Problem(code, "A title", "What happened.", "assemble", "2026-01-31T12:00:00.000Z")


def delivered(outcome: Any, code: str | None = None) -> Delivered:
    uri = f"https://a/results/{T1}/_outcome.json"
    return Delivered(T1, outcome, uri, "0x8D", START, START, "n-1", problem(code) if code else None)


def refused(outcome: Any = "Completed", code: str = "storage-unavailable", **unclear: list[int]) -> DeliveryRefused:
    """A delivery that did not happen; `unclear` are the parts, by series, whose blocks are to be named."""
    parts = {name: tuple(numbers) for name, numbers in unclear.items()}
    return DeliveryRefused(T1, delivery_id(T1, outcome), problem(code), parts)


def not_taken(code: str, detail: str = "What happened.") -> MessageRefused:
    """A message of a producer that the bridge refused."""
    return MessageRefused(T1, replace(problem(code), detail=detail, stage="ingest"))


def command(action: Any, *, name: str = "c-1", extend: float = 0.0) -> Command:
    return Command(T1, name, action, "ann", START, extend)


def told(effect: str) -> Told:
    return Told(T1, effect, START)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@dataclass(frozen=True)
class Passing:
    """Time that passes for the broker, and for the bridges unless they are down or behind."""

    time: timedelta
    watermark: bool = True


def passes(**units: float) -> Passing:
    return Passing(timedelta(**units))


def stalled(**units: float) -> Passing:
    """Time passes while the watermark stands still."""
    return Passing(timedelta(**units), watermark=False)


@dataclass(frozen=True)
class Expect:
    """What is looked at, and what must be seen there."""

    what: str
    wanted: object
    look: Callable[[Playbook], object]


def asks(outcome: str, code: str | None = None) -> Expect:
    """Exactly one delivery is due, with this outcome and the code of its problem."""

    def look(book: Playbook) -> object:
        return [(each.outcome, each.problem and each.problem.code) for each in book.due()]

    return Expect("due", [(outcome, code)], look)


def notices(*kinds: str) -> Expect:
    """What is to be announced; that a transaction was accepted is left out, because each with a header is."""

    def look(book: Playbook) -> object:
        return [each.kind for each in book.announced() if each.kind != "accepted"]

    return Expect("notices", list(kinds), look)


def gap(sequence: int, **missing: object) -> Expect:
    """The gap that was noticed last, and is not told yet: its running number, and what it says is missing."""

    def look(book: Playbook) -> object:
        found = [each for each in book.announced() if each.kind == "gap"]
        return [(each.sequence, each.problem and each.problem.missing) for each in found]

    return Expect("gap", [(sequence, missing)], look)


def keeps_alive(*sequences: int) -> Expect:
    def look(book: Playbook) -> object:
        return [each.sequence for each in book.effects() if isinstance(each, KeepAlive)]

    return Expect("keeps alive", list(sequences), look)


def waits_for(*kinds: str) -> Expect:
    """What is scheduled, in this order; keeping blocks alive is left out, because it always is."""

    def look(book: Playbook) -> object:
        return [each.kind for each in deadlines(book.transaction) if each.kind != "keep-alive"]

    return Expect("waits for", list(kinds), look)


asks_nothing = Expect("due", [], lambda book: list(book.due()))
changes_nothing = Expect("changed", {}, lambda book: changes(book.before, book.transaction, but={"updated"}))


def changes_only(**fields: object) -> Expect:
    """The last fact changed these fields (and `updated`) and no others."""
    return Expect("changed", fields, lambda book: changes(book.before, book.transaction, but={"updated"}))


def has(**fields: object) -> Expect:
    return Expect("has", fields, lambda book: {name: getattr(book.transaction, name) for name in fields})


def conflict(code: str | None) -> Expect:
    return Expect("conflict", code, lambda book: book.transaction.conflict and book.transaction.conflict.code)


def received(**series: list[tuple[int, int]]) -> Expect:
    def look(book: Playbook) -> object:
        known = book.transaction.series
        return {name: list(ordinals.ranges(known[name].received, 99)[0]) for name in series if name in known}

    return Expect("received", series, look)


def plans(series: str, *accepted: Staged) -> Expect:
    """The plan of the only part of a series is made of exactly these facts, as a plan that was asked to names them."""

    def look(book: Playbook) -> object:
        transaction = replace(book.transaction, unclear={series: (0,)})
        (plan,) = (
            each for effect in deliveries(transaction, book.now) for each in effect.series if each.series == series
        )
        return [(part.blocks, part.digest, part.named) for part in plan.parts]

    ids = [block for fact in accepted for block in block_ids(fact)]
    named = tuple("".join(fact.blocks) for fact in sorted(accepted, key=lambda fact: fact.first))
    digest = digest_text(sum(map(block_hash, ids)))
    return Expect(f"plan of {series}", [(len(ids), digest, named)], look)


def changes(before: Transaction, after: Transaction, *, but: set[str]) -> dict[str, object]:
    names = [name for name in Transaction.__struct_fields__ if name not in but]
    return {name: getattr(after, name) for name in names if getattr(before, name) != getattr(after, name)}


def _said(value: object) -> str:
    """Short: without the fields that have their defaults."""
    name = f"{type(value).__name__} " if isinstance(value, msgspec.Struct | Passing) else ""
    return name + msgspec.json.encode(value, enc_hook=repr).decode()


def deliveries(transaction: Transaction, now: datetime) -> list[Deliver]:
    return [each for each in due(transaction, now) if isinstance(each, Deliver)]


class Playbook:
    """One transaction and the dialogue with it; time stands still unless the script lets it pass.

    As the tracker's host does it, what lapses is decided, what changes anything is kept as a row, and `rebuilt` makes
    the transaction anew from the rows.
    """

    def __init__(self, default: Limits = Limits(), **types: Limits) -> None:  # noqa: B008  # frozen
        self.policies = Policies(default, types)
        self.now = self.watermark = START
        self.served_s = 3_600.0
        """How long the owner has been at work."""
        self.transaction = opened(T1, START, self.policies)
        self.before = self.transaction
        self.decisions: list[Decision] = []
        self.rows: dict[str, receipts.Row] = {}
        self._heard = False
        self._dialogue: list[str] = []

    def effects(self) -> tuple[Effect, ...]:
        """Everything that is due."""
        return due(self.transaction, self.now)

    def due(self) -> list[Deliver]:
        return deliveries(self.transaction, self.now)

    def announced(self) -> list[Announce]:
        return [each for each in self.effects() if isinstance(each, Announce)]

    def told_all(self) -> Playbook:
        """Everything but deliveries is carried out."""
        for effect in self.effects():
            if not isinstance(effect, Deliver):
                self >> told(effect.id)
        return self

    def rebuilt(self, order: Callable[[list[receipts.Row]], list[receipts.Row]] = lambda rows: rows[::-1]) -> Playbook:
        """A new owner, that has the rows alone."""
        self._dialogue.append(">> rebuilt")
        self.transaction = receipts.fold(T1, order(list(self.rows.values())), self.policies)
        return self

    def __rshift__(self, told: Fact | Passing | timedelta) -> Playbook:
        self._dialogue.append(f">> {_said(told)}")
        if isinstance(told, timedelta):
            told = Passing(told)
        if isinstance(told, Passing):
            self.now += told.time
            if told.watermark:
                self.watermark = max(self.watermark, self.now)
            self._decide()
        else:
            self.before = self.transaction
            self._tell(told)
        return self

    def _tell(self, fact: Fact) -> None:
        if not self._heard:
            self._heard, self.transaction = True, opened(T1, self.now, self.policies)
        before, self.transaction = self.transaction, advance(self.transaction, fact, self.now, self.policies)
        key, offset = receipts.key(T1, fact), len(self.rows)
        if key is not None and key not in self.rows and receipts.says_more(before, self.transaction):
            assert not isinstance(fact, DeliveryRefused)
            self.rows[key] = receipts.read(receipts.row(fact, offset, self.now))

    def _decide(self) -> None:
        clock = Clock(self.now, self.watermark, self.served_s)
        while self._heard and (decision := lapsed(self.transaction, clock)) is not None:
            assert len(self.decisions) < 1_000, "a decision has to postpone what comes next"
            self._dialogue.append(f"   {_said(decision)}")
            self.decisions.append(decision)
            self._tell(decision)

    def __lshift__(self, wanted: State | Expect) -> Playbook:
        if isinstance(wanted, State):
            wanted = Expect("state", wanted, lambda book: book.transaction.state)
        seen = wanted.look(self)
        self._dialogue.append(f"<< {wanted.what}: {_said(wanted.wanted)}")
        if seen != wanted.wanted:
            raise AssertionError("\n".join(["the dialogue", *self._dialogue, f"   but {wanted.what}: {_said(seen)}"]))
        return self


def core(
    transaction: Transaction,
    *,
    but: tuple[str, ...] = ("updated", "progressed", "decided", "duplicates", "late", "contradictions"),
) -> Transaction:
    """What matters of a transaction: without what only counts or tells the time."""
    blank = opened(T1, START)
    return replace(transaction, **{name: getattr(blank, name) for name in but})
