"""Days that pass: everything stands still, or is switched off, while clocks, retention and expiry go on.

Storage drops what nobody has committed for a week; Kafka drops records and, of a group without members, offsets.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tests.sim.checks import Checks
from tests.sim.group import Group
from tests.sim.installation import Installation
from tests.sim.kafka import Log

DAY_S: Final = 86_400.0
DELIVERIES_KEPT: Final = timedelta(days=3)
EVENTS_KEPT: Final = timedelta(days=14)
OFFSETS_KEPT_S: Final = 7 * DAY_S
CONSUMER_TIMEOUT_S: Final = 1_800.0


class Nights:
    """Lets time leap."""

    def __init__(self, installation: Installation, checks: Checks) -> None:
        self.world = installation.world
        self._in = installation
        self._checks = checks
        self._peaceful = 0

    def suspended(self, for_s: float) -> None:
        """Every machine is, and goes on where it was."""
        self.world.fault("everything suspended")
        self._leap(for_s)

    def peaceful(self, for_s: float) -> None:
        """The same, when nothing goes wrong by day: from the second night on nothing of an open transaction expires."""
        self._peaceful += 1
        self.world.fault("peaceful night")
        gone = [name for name in self._leap(for_s) if self._checks.is_open(name.partition("/")[0])]
        self.world.require(self._peaceful < 2 or not gone, "I13", f"storage dropped what was waited for: {gone}")

    def switched_off(self, for_s: float) -> None:
        """Nothing of ours runs, and then all of it is started again."""
        self.world.fault("everything switched off")
        for slot, process in self._in.processes.items():
            if process.alive:
                self._in.stays_down.add(slot)
                process.end("switched off")
                for group in (self._in.tracking, self._in.delivering):
                    group.forget(slot)
        self._leap(for_s)
        if for_s >= OFFSETS_KEPT_S:
            for group in (self._in.tracking, self._in.delivering):
                self._drop_offsets(group)
        for slot in self._in.processes:
            self._in.start_for_good(slot)

    def _leap(self, for_s: float) -> list[str]:
        world, kafka = self.world, self._in.kafka
        world.now_s += for_s
        if gone := self._in.storage.expire():
            world.fault("storage blocks expired")
            self._checks.results.blocks_lost = True
            world.note("blocks expired of", gone)
        for logs, kept in ((kafka.deliveries, DELIVERIES_KEPT), (kafka.events, EVENTS_KEPT)):
            for log in logs:
                self._retain(log, kept)
        if for_s > CONSUMER_TIMEOUT_S:
            for channel in list(self._in.rabbit.channels):
                if channel.unacked and not channel.closed:
                    channel.connection.given_up()
        return gone

    def _retain(self, log: Log, kept: timedelta) -> None:
        oldest = self.world.now() - kept
        young = next((record.offset for record in log.records if record.at >= oldest), log.end)
        if log.drop_before(young):
            self.world.fault("kafka records expired")

    def _drop_offsets(self, group: Group) -> None:
        if group.committed:
            self.world.fault("kafka offsets expired")
            group.committed.clear()
