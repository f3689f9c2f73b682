"""What was asked for of the transactions of a partition, and when: nothing is asked for twice in a moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tables.deadlines import retry_at
from tables.due import due
from tables.effects import Effect, delivery_id
from tables.transaction import Transaction


class Asked:
    """Times are monotonic seconds; `interval_s` is how long an answer may take before it is asked again."""

    def __init__(self) -> None:
        self._asked: dict[str, dict[str, float]] = {}

    def __bool__(self) -> bool:
        """Whether any transaction may want something done."""
        return bool(self._asked)

    @property
    def names(self) -> Iterable[str]:
        """Of the transactions that may want something, in a settled order."""
        return sorted(self._asked)

    def remember(self, name: str) -> None:
        """The transaction may want something that is not known here."""
        self._asked[name] = {}

    def forget(self, name: str) -> None:
        """Nothing was ever asked for this transaction; again is harmless."""
        self._asked.pop(name, None)

    def ask(self, transaction: Transaction, now: datetime, now_s: float, interval_s: float) -> list[Effect]:
        """What is due and was not asked for a moment ago; it counts as asked for from now on.

        A refusal makes nothing due at once: a delivery has its pause, and all else is asked for again in its time.
        """
        known = self._asked.get(transaction.id, {})
        effects = due(transaction, now)
        asking = [each for each in effects if now_s - known.get(each.id, -interval_s) >= interval_s]
        asked = {each.id: known.get(each.id, now_s) for each in effects} | {each.id: now_s for each in asking}
        if asked or retry_at(transaction) is not None:
            self._asked[transaction.id] = asked
        else:
            self.forget(transaction.id)
        return asking

    def is_asked(self, transaction: Transaction, now: datetime, now_s: float, interval_s: float) -> bool:
        """Whether everything that may be due was asked for a moment ago, which is cheaper to tell than what is due.

        A plan takes a while for a large series, and most of the time there is nothing to do but to wait for an answer.
        """
        asked, verdict, again = self._asked.get(transaction.id, {}), transaction.verdict, retry_at(transaction)
        if any(now_s - asked_s >= interval_s for asked_s in asked.values()):
            return False
        if again is not None and now < again:
            return True
        return bool(asked) if verdict is None else delivery_id(transaction.id, verdict.outcome) in asked
