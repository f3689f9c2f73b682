"""The world of one seed: who can do something now, what happens later, and one stream of chance that decides.

A *step* is the smallest thing that can come between two others: one callback of a process's event loop, one request
that arrives at a service, one answer that comes back, one message that is handed out, one record that is taken, one
moment of the clock. Whatever can happen now is an *actor* in `active`; each step chooses one of them by chance, so
every order in which things could have happened is some seed. Time stands still while somebody can act, unless chance
says otherwise; then it jumps to the next moment at which something is due.

Nothing here depends on the real time, on addresses of objects or on hashes of strings: the same seed is the same run,
and `digest` says so.
"""

from __future__ import annotations

import random
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final, NoReturn, TextIO

EPOCH: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
MASK: Final = (1 << 61) - 1


class Violation(BaseException):
    """An invariant does not hold: the run has found a bug, of the product or of the simulator.

    Nobody but the run may catch it, least of all the product.
    """


class Actor:
    """Something that can take a step."""

    __slots__ = ("number", "place")

    def __init__(self, number: int) -> None:
        self.number = number
        """For the digest: the same in every run of a seed."""
        self.place = -1
        """Among the active ones; -1 where it is not."""

    def step(self) -> None:
        """Do one thing."""
        raise NotImplementedError


class Flight(Actor):
    """One thing that happens once: a request or an answer on its way."""

    __slots__ = ("_world", "args", "do")

    def __init__(self, world: World, number: int, do: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.number = number
        self.place = -1
        self._world = world
        self.do = do
        self.args = args

    def step(self) -> None:
        self._world.rest(self)
        self.do(*self.args)


class World:
    """Chance, time, and everybody who can act."""

    def __init__(self, seed: int, trace: TextIO | None = None) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.now_s = 0.0
        self.steps = 0
        self.digest = seed
        self.active: list[Actor] = []
        self.faults: Counter[str] = Counter()
        """Those that happened, by kind."""
        self.haste = 0.01
        """How often time passes although somebody could act."""
        self.violation: str | None = None
        """The first one, also where somebody kept it to himself."""
        self._later: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = 0
        self._trace = trace

    # Time

    def now(self) -> datetime:
        """As a clock that is right would say."""
        return EPOCH + timedelta(milliseconds=int(self.now_s * 1_000))

    def at(self, moment_s: float, do: Callable[..., None], *args: Any) -> None:
        """Let something happen at a moment."""
        self._numbers += 1
        heappush(self._later, (moment_s, self._numbers, do, args))

    def after(self, delay_s: float, do: Callable[..., None], *args: Any) -> None:
        """Let something happen after a while."""
        self.at(self.now_s + delay_s, do, *args)

    def pass_time(self) -> bool:
        """Go on to what comes next; False where nothing does."""
        if not self._later:
            return False
        moment_s, _, do, args = heappop(self._later)
        if moment_s > self.now_s:
            self.now_s = moment_s
        do(*args)
        return True

    # Actors

    def next_number(self) -> int:
        """For an actor that lasts."""
        self._numbers += 1
        return self._numbers

    def wake(self, actor: Actor) -> None:
        """It can act; again is harmless."""
        if actor.place < 0:
            actor.place = len(self.active)
            self.active.append(actor)

    def rest(self, actor: Actor) -> None:
        """It cannot act any more; again is harmless."""
        if (place := actor.place) >= 0:
            last = self.active.pop()
            if last is not actor:
                self.active[place] = last
                last.place = place
            actor.place = -1

    def fly(self, kind: int, do: Callable[..., None], *args: Any) -> None:
        """Let something happen soon, in any order with everything else that is under way."""
        flight = Flight(self, kind, do, args)
        flight.place = len(self.active)
        self.active.append(flight)

    def step(self) -> bool:
        """Let one thing happen; False where nothing ever will."""
        active, draw = self.active, self.chance.random()
        if active and draw >= self.haste:
            # What is left of the draw is as good as a new one.
            actor = active[int((draw - self.haste) / (1 - self.haste) * len(active))]
            self.digest = (self.digest * 1_000_003 + actor.number) & MASK
            actor.step()
        elif not self.pass_time() and not active:
            return False
        self.steps += 1
        return True

    # What is told of it

    def happens(self, chance: float) -> bool:
        """Whether something of this probability comes true."""
        return chance > 0 and self.chance.random() < chance

    def fault(self, kind: str) -> None:
        """Count a fault that happened."""
        self.faults[kind] += 1
        self.note("fault", kind)

    def mix(self, data: bytes) -> None:
        """Let the digest depend on what was said."""
        self.digest = (self.digest * 1_000_003 + zlib.crc32(data)) & MASK

    def note(self, *words: object) -> None:
        """A line of the trace."""
        if self._trace is not None:
            print(f"{self.steps:>8} {self.now_s:>12.3f}", *words, file=self._trace)

    def require(self, holds: bool, law: str, detail: str) -> None:
        """Raises Violation unless it holds."""
        if not holds:
            self.violate(f"{law}: {detail}")

    def violate(self, what: str) -> NoReturn:
        """Raises Violation."""
        self.violation = self.violation or what
        raise Violation(what)


def complain(text: str) -> None:
    """Say something to whoever started the run."""
    print(text, file=sys.stderr, flush=True)
