"""One run of a scenario: where it plays, what it has sent, and who has come to a crash point meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.crash.outside import until
from tests.crash.plans import Run
from tests.crash.sent import Ledger, Producer, Sent
from tests.crash.site import Site

LARGE: Final = 300 << 10
"""Bytes of a payload that has a block of its own."""
STEP_S: Final = 60.0
TIMES: Final = 3
"""How often what has to be provoked is."""


class Act(NamedTuple):
    """One run of a scenario."""

    site: Site
    ledger: Ledger
    runs: Mapping[str, Run]
    """Of each kind of process that a crash is planned for, or that is counted."""

    @property
    def producer(self) -> Producer:
        return Producer(self.site.outside)

    def expect(self, sent: Sent) -> Sent:
        """It is going to be sent."""
        self.ledger.sent.append(sent)
        return sent

    def fired(self) -> bool:
        return any(run.fired for run in self.runs.values())

    async def passed(self, name: str) -> None:
        """Until the point was passed often enough, or somebody has died."""
        await until(
            lambda: self.fired() or any(run.count(name) >= TIMES for run in self.runs.values()), STEP_S, f"{name} comes"
        )
