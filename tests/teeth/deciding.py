"""Bugs of the rules: what facts and time make of a transaction."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from streams import assemble
from streams.asked import Asked
from tables import accept, deadlines, messages, receipts, rules, tiling, watermarks
from tables import due as wanting
from tables.accept import Taken
from tests.teeth.bugs import Put, bug


@bug("rules/test_rules.py::test_a_duplicate_is_counted_and_changes_nothing_else")
def count_instead_of_set(put: Put) -> None:
    """What was received is counted, duplicates too."""
    take = accept.take

    def counting(series: Any, staged: Any) -> Any:
        after, taken = take(series, staged)
        if taken is Taken.DUPLICATE:
            after = replace(after, received_count=after.received_count + staged.count)
        return after, taken

    put(messages, "take", counting)


@bug("rules/test_rules.py::test_a_contradiction_fails_the_transaction_by_default")
def last_bytes_win(put: Put) -> None:
    """Other bytes for an ordinal that is known count as the same again."""
    put(accept, "_differing", lambda *_: None)


@bug("rules/test_rules.py")
def last_header_wins(put: Put) -> None:
    """A second header takes the place of the first one."""
    with_header = messages.with_header

    def replacing(transaction: Any, fact: Any, now: Any, policies: Any) -> Any:
        return with_header(replace(transaction, header=None), fact, now, policies)

    put(rules, "with_header", replacing)


@bug("rules/test_commit.py::test_what_is_assembled_is_the_payloads_in_order_however_they_were_staged")
def wrong_tiling(put: Put) -> None:
    """A plan names every ordinal as a block of its own, also those that lie in a run."""
    encode = tiling.encode
    alone = bytes(min(length, 1) for length in range(256))
    put(tiling, "encode", lambda counts: encode(counts.translate(alone)))


@bug("rules/test_waiting.py::test_nobody_is_late_while_the_watermark_stands_still")
def own_clock(put: Put) -> None:
    """Producers are late by the broker's clock, so an outage of ours abandons them."""
    put(deadlines.Clock, "passed", lambda self, deadline, _limits: self.now >= deadline.at)


@bug("rules/test_watermarks.py::test_the_watermark_is_what_all_can_answer_for")
def set_clock_believed(put: Put) -> None:
    """A bridge's claim counts also where it lies ahead of the partition's clock, because that was set back."""
    hear = watermarks.hear

    def believing(known: Any, said: Any, at: Any, silence_s: float) -> Any:
        heard = hear(known, said, at, silence_s)
        bridges = {**heard.bridges, said.bridge: watermarks.Heard(at, said.reached)}
        return replace(heard, bridges=bridges, reached=watermarks._reached(known, bridges, heard.owed))

    put(watermarks, "hear", believing)


@bug("rules/test_completing.py::test_a_new_owner_tries_first_before_it_gives_up")
def gives_up_untried(put: Put) -> None:
    """A new owner fails what took too long without having tried itself."""

    def passed(self: Any, deadline: Any, _limits: Any) -> bool:
        time = self.watermark if deadline.by_watermark else self.now
        return time is not None and time >= deadline.at

    put(deadlines.Clock, "passed", passed)


@bug("rules/test_rules.py::test_a_refused_delivery_comes_due_again_after_1_2_4_and_at_most_60_seconds")
def no_pause(put: Put) -> None:
    """A refused delivery is asked for again at once, and for ever."""
    put(wanting, "retry_at", lambda _transaction: None)


@bug("rules/test_rules.py::test_delivered_wins_over_whatever_the_rules_thought")
def verdict_wins(put: Put) -> None:
    """The owner believes its own verdict, and not the outcome that was written."""
    settle = rules._settle

    def stubborn(transaction: Any, fact: Any) -> Any:
        settled = settle(transaction, fact)
        return replace(settled, state=rules.State(transaction.verdict.outcome)) if transaction.verdict else settled

    put(rules, "_settle", stubborn)


@bug("rules/test_assemble.py::test_what_comes_late_leaves_no_row")
def late_reopens(put: Put) -> None:
    """What comes for a closed transaction opens it again."""

    def forgetful(self: Any, owned: Any, transaction: Any) -> None:
        self._shown[transaction.id] = assemble.view(transaction)
        owned.close(transaction.id, transaction.settled.notified)
        owned.closed.discard(transaction.id)

    put(assemble.Assembler, "_close", forgetful)


@bug("rules/test_host_time.py::test_a_closed_transaction_is_forgotten_after_its_retention_and_not_before")
def forgotten_early(put: Put) -> None:
    """A closed transaction is forgotten at once, so its late messages are a new one."""
    put(assemble, "closed_until", lambda transaction, _retention_s: transaction.settled.notified)


@bug("rules/test_assemble.py::test_a_delivery_is_asked_for_at_once_and_again_only_after_the_redrive_interval")
def asked_once(put: Put) -> None:
    """A delivery is asked for when the verdict is reached, and never again."""
    put(Asked, "is_asked", lambda *_: True)


@bug("rules/test_assemble.py::test_rows_of_partitions_that_others_own_are_not_acted_on")
def ghost_rows(put: Put) -> None:
    """Rows of partitions that have gone to others are acted on."""
    recover = assemble.recover

    def everything(rows: Any, shown: Any, _mine: Any, topics: Any, *rest: Any) -> Any:
        return recover(rows, shown, range(topics.partitions), topics, *rest)

    put(assemble, "recover", everything)


@bug("rules/test_receipts.py")
def row_by_place(put: Put) -> None:
    """A row is named by its ordinal alone, so other bytes for it overwrite what came first."""
    key = receipts.key

    def by_place(transaction: str, fact: Any) -> Any:
        named = key(transaction, fact)
        return named.rpartition("-")[0] if named and isinstance(fact, receipts.Staged) else named

    put(receipts, "key", by_place)


@bug("rules/test_assemble.py::test_every_fact_has_one_row_and_its_duplicate_has_none")
def row_for_everything(put: Put) -> None:
    """Whatever comes gets a row, also what changes nothing: repeated messages grow the table for ever."""
    put(receipts, "says_more", lambda _before, _after: True)
    put(receipts, "key", _numbered(receipts.key))


def _numbered(key: Any) -> Any:
    count = iter(range(1 << 62))

    def numbered(transaction: str, fact: Any) -> Any:
        named = key(transaction, fact)
        return f"{named}-{next(count)}" if named and isinstance(fact, receipts.Staged) else named

    return numbered
