"""The bridge says in every partition of the events topic how far it has come, and that it is there.

What it says is reckoned by `bridge.reached`, and moments are those that Kafka's brokers stamp on its records; no clock
of ours takes part. The trackers fold it (`tables.watermarks`).

Its words are a lease, too. A tracker that has not heard a bridge for `BRH_BRIDGE_SILENCE_S` takes it that everything it
had in hand is in the queues again. Of a bridge that was killed or frozen, RabbitMQ sees to that: it notices within
three heartbeats (it looks once a heartbeat, and closes a connection that was silent for two of its looks). But one that
only Kafka cannot hear would hold on to its deliveries. So it cuts its lanes in time, for RabbitMQ to notice even where
it does not hear that either, and opens them again when Kafka has heard it.

That time is the one thing that is measured with a clock of ours: from before the last words were sent, for how long and
not when.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final
from uuid import uuid4

import structlog

from bridge import topology
from bridge.crash_points import crash_point
from bridge.facts import Facts, FactsUnavailable
from bridge.lane import LaneClosed
from bridge.lanes import Lanes
from bridge.reached import Claims, Seen, Stamps
from bridge.settings import BridgeSettings, SettingsError

_log = structlog.get_logger()

NOTICED_HEARTBEATS: Final = 3
"""After how many RabbitMQ has given back what a silent connection had (`rabbit_heartbeat`: between 2 and 3)."""
MARGIN: Final = 0.1
"""Share of the silence that is left for messages to be given back in, and for clocks that do not run alike."""
WORDS_MIN: Final = 2
"""How often the bridge must be able to speak before it has to give up, so that one lost word costs nothing."""
LEAVE_TIMEOUT_S: Final = 2.0
"""Of the farewell; unheard, others wait for this bridge until it has been silent for long enough."""


def unheard_max_s(settings: BridgeSettings, heartbeat_s: float) -> float:
    """For how long Kafka may not hear a bridge whose lanes have these heartbeats. Raises SettingsError."""
    silence_s, interval_s = settings.bridge_silence_s, settings.watermark_interval_s
    allowed_s = silence_s * (1 - MARGIN) - NOTICED_HEARTBEATS * heartbeat_s
    if heartbeat_s and allowed_s >= WORDS_MIN * interval_s:
        return allowed_s
    heartbeat_max_s = int((silence_s * (1 - MARGIN) - WORDS_MIN * interval_s) / NOTICED_HEARTBEATS)
    silence_min_s = (NOTICED_HEARTBEATS * heartbeat_s + WORDS_MIN * interval_s) / (1 - MARGIN)
    noticed = f"a lost bridge only after {NOTICED_HEARTBEATS * heartbeat_s:g} s" if heartbeat_s else "no lost bridge"
    raise SettingsError(
        f"BRH_AMQP_URL has heartbeat={heartbeat_s:g}, with which RabbitMQ notices {noticed}, too late for "
        f"BRH_BRIDGE_SILENCE_S={silence_s:g} with BRH_WATERMARK_INTERVAL_S={interval_s:g}: "
        f"use a heartbeat from 1 to {heartbeat_max_s}, or a silence of at least {silence_min_s:.0f}"
    )


class Watermarks:
    """What one bridge says, from before its first delivery until after its last."""

    def __init__(
        self,
        facts: Facts,
        bridge: str,
        settings: BridgeSettings,
        *,
        unheard_max_s: float,
        crash: Callable[[Exception], None],
    ) -> None:
        """`crash` ends the process, for what can only be a mistake of ours."""
        self._facts = facts
        # Unique, because a bridge that is started again must not be taken for the one before it.
        self._claims = Claims(f"{bridge}-{uuid4().hex[:8]}", topology.CONSUMED)
        self._partitions = settings.partitions
        self._interval_s = settings.watermark_interval_s
        self._unheard_max_s = unheard_max_s
        self._crash = crash
        self._loop = asyncio.get_running_loop()
        self._lanes: list[Lanes] = []
        self._heard_s = self._loop.time()
        self._lease: asyncio.TimerHandle | None = None
        self._lost = False
        self._keeper: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Say that there is one more bridge, before it consumes anything; then go on speaking.

        Raises FactsUnavailable, and SettingsError when Kafka's brokers do not stamp the records.
        """
        # Heard too late is not heard: whoever waited for so long has left this bridge out again.
        while self._lease is None:
            if await self._say() is None:
                raise SettingsError(
                    "the events topic is stamped by producers: set its message.timestamp.type=LogAppendTime"
                )
        crash_point("bridge.presence-said")
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(self._ended)

    @property
    def unheard_s(self) -> float:
        """How long ago Kafka has taken watermarks last."""
        return self._loop.time() - self._heard_s

    @property
    def lost(self) -> bool:
        """Nothing is consumed, because nobody has heard this bridge for too long."""
        return self._lost

    def follow(self, lanes: Lanes) -> None:
        """Answer for these lanes, too; all of them before anything is claimed. To be called before they are opened."""
        self._lanes.append(lanes)

    def gave_back(self) -> None:
        """A lane has ended that may have had something in hand."""
        self._claims.lane_ended()
        crash_point("bridge.lane-lost")

    async def stop(self) -> None:
        """Be silent, and say so if nothing was given back. To be called when there are no lanes any more."""
        for task in (self._keeper, self._looking):
            if task is not None:
                task.cancel()
        if self._lease is not None:
            self._lease.cancel()
        if self._keeper is None:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._facts.say(self._claims.words(self._partitions, gone=True))
            crash_point("bridge.farewell-said")
        except (FactsUnavailable, TimeoutError) as error:
            _log.info("nobody could be told that the bridge is gone", error=repr(error))

    async def _keep(self) -> None:
        """Speak for as long as there is a process, whatever becomes of its lanes."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                moment = await self._say()
            except FactsUnavailable as error:
                _log.warning("watermarks were not heard", error=str(error))
                continue
            if moment is not None and (self._looking is None or self._looking.done()):
                self._looking = asyncio.create_task(self._look(moment))
                self._looking.add_done_callback(self._ended)

    async def _say(self) -> Stamps | None:
        began_s = self._loop.time()
        moment = await self._facts.say(self._claims.words(self._partitions))
        crash_point("bridge.watermarks-said")
        if moment is not None:
            self._claims.stamped(moment)
        self._heard_s = began_s
        until_s = began_s + self._unheard_max_s
        if self._loop.time() < until_s:
            if self._lease is not None:
                self._lease.cancel()
            self._lease = self._loop.call_at(until_s, self._give_up)
            if self._lost:
                _log.warning("watermarks are heard again, consuming goes on")
                self._lost = False
            for lanes in self._lanes:
                lanes.resume()
        return moment

    def _give_up(self) -> None:
        _log.error("watermarks have not been heard, consuming stops", unheard_s=round(self._unheard_max_s, 1))
        self._lost = True
        for lanes in self._lanes:
            lanes.give_up(f"Kafka has not heard the bridge for {self._unheard_max_s:g} s")

    async def _look(self, moment: Stamps) -> None:
        """Ask on every lane what waits, and reckon with the answers."""
        name = self._claims.name
        lanes = [(each.queue, lane) for each in self._lanes for lane in each.open]
        # All answers are waited for: the next question to a lane must not get the answer to this one.
        answers = await asyncio.gather(*(lane.look() for _, lane in lanes), return_exceptions=True)
        found: dict[str, dict[Hashable, Seen]] = {}
        for (queue, lane), answer in zip(lanes, answers, strict=True):
            if isinstance(answer, LaneClosed):
                return  # so the bridge goes by another name now
            if isinstance(answer, BaseException):
                raise answer
            found.setdefault(queue, {})[lane] = answer
        self._claims.look(name, moment, found)
        crash_point("bridge.watermarks-reckoned")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._crash(error)
