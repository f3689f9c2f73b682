"""Put dead letters back where they came from: pulled one by one, streamed through, and only then taken off the queue.

A letter is published with confirm and `mandatory`, and acknowledged when the broker has confirmed it. Whatever ends a
run in between leaves the letter where it is; at worst it is then in both places, and what arrives twice is absorbed.
Letters that stay are held until the end of the run, so none is looked at twice in it, and a run takes no more letters
than waited when it began: what comes back while it runs is left to the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from bridge.amqp_address import AmqpAddress
from bridge.frames import Body
from bridge.lane import Incoming, Lane, LaneClosed
from bridge.publishing import NotTaken, Publishing
from bridge.topology import REJECTED
from streams.cli.dead_letter import DeadLetter, Verdict, dead_letter, death, verdict
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_READY, CliError
from streams.cli.put_back import Choice, Route, put_back, route, speaks_against
from streams.cli.relay import Relay

STILL_MAX_S: Final = 60.0
"""Without a byte or an answer: longer than a quorum queue needs to store 256 MiB on a busy disk."""
LEFT_MAX: Final = 1_000
"""Letters that stay and are named; the others are only counted, because the queue may hold any number of them."""
NOT_TAKEN: Final = "not-taken"
UNREADABLE: Final = "unreadable"

_NAME: Final = "brh dlq redrive"
_REFUSED_CODES: Final = (403, 404)
"""AMQP's: not allowed, and no such exchange or queue."""
_TOO_LARGE_CODE: Final = 406
_AGAIN: Final = "Run the same command again: what is in both places is absorbed."
_T = TypeVar("_T")


class Report(msgspec.Struct, rename="camel"):
    """What a run did; `brh dlq redrive --json` prints it."""

    queue: str
    waiting: int
    """Letters in the queue when it began, without those that somebody had in hand."""
    dry_run: bool
    put_back: list[DeadLetter] = []
    """Confirmed by the broker and gone from the queue; with a dry run, those that would be."""
    left: list[DeadLetter] = []
    """Chosen but left, each with its `problem`; not more than `LEFT_MAX`."""
    left_count: int = 0
    not_chosen: int = 0
    more: bool = False
    """The limit was reached before the end of the queue."""


class Wish(NamedTuple):
    """What somebody asks for."""

    choice: Choice
    limit: int
    """Letters to put back at most."""
    force: bool
    """Also those that would be refused again."""
    dry_run: bool
    payload_max_bytes: int


class _Letter(NamedTuple):
    incoming: Incoming
    letter: DeadLetter
    relay: Relay
    chosen: bool
    why: Verdict | None
    """What speaks against it before its body has come."""


class _Way(NamedTuple):
    route: Route
    properties: bytes
    """On the wire."""


class Redrive:
    """One run; `report` is right at any moment of it, also when it fails."""

    def __init__(
        self, address: AmqpAddress, wish: Wish, report: Report, told: Callable[[DeadLetter], None] = lambda _: None
    ) -> None:
        """`told` hears of each chosen letter when it is done; one that stays has a `problem`."""
        self.report = report
        self._address = address
        self._wish = wish
        self._told = told
        self._lane: Lane | None = None
        self._out: Publishing | None = None
        self._current: _Letter | None = None

    async def run(self) -> None:
        """Raises CliError, when the broker cannot be reached, goes away, or takes nothing at all."""
        try:
            self._lane = await Lane.open(self._address, REJECTED, prefetch=0, accept=self._accept, name=_NAME)
            await self._each(self._lane)
        except (LaneClosed, OSError) as error:
            raise _lost(error) from error
        finally:
            if self._out is not None:
                self._out.abort("done")
            if self._lane is not None:
                await self._lane.close()

    async def _each(self, lane: Lane) -> None:
        report, wish = self.report, self._wish
        for _ in range(report.waiting):
            if wish.choice.satisfied:
                break
            if len(report.put_back) == wish.limit:
                report.more = True
                break
            if not wish.dry_run and (self._out is None or self._out.closed):
                self._out = await Publishing.open(self._address, _NAME, lane.proceed)
            if not await self._moving(lane.pull()):
                break  # somebody else has the rest
            assert self._current is not None, "pull returns when the message has begun"
            await self._settle(lane, self._current)
        # The broker answers when it has done all that was said before, so no acknowledgement is on its way any more.
        await self._moving(lane.look())

    def _accept(self, incoming: Incoming) -> Body:
        wish, properties = self._wish, incoming.properties
        letter = dead_letter(properties, incoming.size, wish.payload_max_bytes)
        chosen = wish.choice.takes(letter)
        why = None if wish.force else speaks_against(letter)
        way = why or _way(incoming, letter)
        goes, out = chosen and not isinstance(way, Verdict), self._out

        def begin() -> None:
            assert out is not None
            assert isinstance(way, _Way)
            out.begin(way.route.exchange, way.route.routing_key, way.properties, incoming.size)

        digest = goes and properties.headers.get("brh_sha256") is not None
        relay = Relay(incoming.size, out if goes else None, begin, digest=digest)
        self._current = _Letter(incoming, letter, relay, chosen, way if isinstance(way, Verdict) else None)
        return relay

    async def _settle(self, lane: Lane, found: _Letter) -> None:
        report, wish, letter = self.report, self._wish, found.letter
        await self._moving(found.relay.arrived)
        if not found.chosen:
            report.not_chosen += 1
            return
        why = found.why or (None if wish.force else self._judged(found)) or await self._sent(found)
        if why is None:
            if not wish.dry_run:
                lane.ack([found.incoming.tag])
            report.put_back.append(replace(letter, problem=None))
            self._told(report.put_back[-1])
            return
        if found.relay.begun and self._out is not None:
            self._out.abort("a message was given up before its last byte")
        report.left_count += 1
        left = replace(letter, problem=why)
        if len(report.left) < LEFT_MAX:
            report.left.append(left)
        self._told(left)

    def _judged(self, found: _Letter) -> Verdict | None:
        """What the bridge would say, now that all of the body is known."""
        incoming, relay = found.incoming, found.relay
        return verdict(
            found.letter.queue,
            incoming.properties,
            incoming.size,
            relay.body,
            sha256=relay.sha256,
            payload_max_bytes=self._wish.payload_max_bytes,
        )

    async def _sent(self, found: _Letter) -> Verdict | None:
        """Send the end of a letter and wait until the broker has it; why it did not take this one, or None."""
        if self._wish.dry_run:
            return None
        assert self._out is not None
        try:
            found.relay.finish()
            await self._moving(self._out.confirmed())
        except NotTaken as error:
            return Verdict(NOT_TAKEN, f"RabbitMQ did not take it: {error}")
        except LaneClosed as error:
            if error.code != _TOO_LARGE_CODE:
                raise
            return Verdict(NOT_TAKEN, f"RabbitMQ did not take it: {error}")
        return None

    async def _moving(self, what: Awaitable[_T]) -> _T:
        """The result, as long as something moves. Raises CliError."""
        task = asyncio.ensure_future(what)
        moved, since_s = -1, 0.0
        loop = asyncio.get_running_loop()
        try:
            while not task.done():
                now = self._current.relay.moved if self._current is not None else 0
                if now != moved:
                    moved, since_s = now, loop.time()
                elif loop.time() - since_s > STILL_MAX_S:
                    message = f"RabbitMQ neither takes nor sends anything for {STILL_MAX_S:g} s"
                    remedy = f"See whether it is in alarm (memory, disk). {_AGAIN}"
                    raise CliError(message, code="amqp-still", remedy=remedy, exit_code=EXIT_NOT_READY)
                await asyncio.wait({task}, timeout=1.0)
        finally:
            task.cancel()
        return task.result()


def _way(incoming: Incoming, letter: DeadLetter) -> _Way | Verdict:
    """How a letter is published, or why it cannot be."""
    back = route(death(incoming.properties.headers))
    if isinstance(back, Verdict):
        return back
    try:
        return _Way(back, put_back(incoming.as_sent, letter.redriven))
    except ValueError as error:
        return Verdict(UNREADABLE, f"It cannot be sent again as it was: {error}")


def _lost(error: LaneClosed | OSError) -> CliError:
    code = error.code if isinstance(error, LaneClosed) else None
    if code in _REFUSED_CODES:
        message, remedy = f"RabbitMQ refuses: {error}", "Run `brh setup`, or give the user of BRH_AMQP_URL the right."
        return CliError(message, code="amqp-refused", remedy=remedy, exit_code=EXIT_FAILED)
    message = f"The connection to RabbitMQ was lost: {error}"
    return CliError(message, code="amqp-lost", remedy=_AGAIN, exit_code=EXIT_NOT_READY)
