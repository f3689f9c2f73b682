"""A consumer group in a world: who owns which partitions, as far as the coordinator knows, and committed offsets.

A rebalance waits for everybody who is a member: who does not come in time is put out. Until they find out themselves
they go on as if they owned what they had, and nothing stops their records; only their commits are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tests.sim.world import World

TOLD: Final = 31


class Member(Protocol):
    """A worker, as the coordinator sees it."""

    alive: bool
    frozen: bool
    name: str

    def revoke(self, attempt: int) -> None:
        """Partitions are about to move: finish, and `rejoin`."""

    def assign(self, generation: int, partitions: Sequence[int]) -> None:
        """These are yours now."""

    def unknown(self) -> None:
        """You are no member any more."""


class Group:
    """One group over the partitions of one topic."""

    def __init__(self, world: World, name: str, partitions: int, session_s: float) -> None:
        self.world = world
        self.name = name
        self.partitions = partitions
        self.session_s = session_s
        self.generation = 0
        self.committed: dict[int, int] = {}
        self.members: dict[str, Member] = {}
        """By the name of their slot, as static members have one."""
        self.assignment: dict[str, list[int]] = {}
        self._attempt = 0
        self._joined: set[str] | None = None
        """Who has come to the rebalance that is going on; None: there is none."""
        self.rebalances = 0

    def join(self, slot: str, member: Member, *, static: bool) -> None:
        """A worker comes in; a static one that comes back gets what it had, and nobody else notices."""
        if not member.alive:
            return
        known = self.members.get(slot)
        self.members[slot] = member
        if known is not None and static and self._joined is None and slot in self.assignment:
            self.world.note("group", self.name, slot, "is back")
            self._tell(member, slot)
        elif self._joined is not None:
            self._joined.discard(slot)
            self._join(slot)
        else:
            self.rebalance(came=slot)

    def rebalance(self, came: str | None = None) -> None:
        """Ask everybody to come."""
        self.rebalances += 1
        self._attempt += 1
        self._joined = set()
        self.world.note("group", self.name, "rebalances", *self.members)
        for slot, member in self.members.items():
            if slot != came:
                self.world.fly(TOLD, self._revoke, member, self._attempt)
        self.world.after(self.session_s, self._put_out, self._attempt)
        if came is not None:
            self._join(came)
        elif not self.members:
            self._complete()

    def _revoke(self, member: Member, attempt: int) -> None:
        if member.alive:
            member.revoke(attempt)

    def rejoin(self, slot: str, member: Member, attempt: int) -> None:
        """A member has let go of what it had."""
        if self.members.get(slot) is not member:
            if member.alive:
                member.unknown()
        elif attempt == self._attempt:
            self._join(slot)

    def _join(self, slot: str) -> None:
        if self._joined is None:
            return
        self._joined.add(slot)
        if self._joined >= self.members.keys():
            self._complete()

    def _put_out(self, attempt: int) -> None:
        if attempt != self._attempt or self._joined is None:
            return
        for slot in [slot for slot in self.members if slot not in self._joined]:
            self._remove(slot)
        if self._joined >= self.members.keys():
            self._complete()

    def _complete(self) -> None:
        self._joined = None
        self.generation += 1
        slots = list(self.members)
        self.assignment = {slot: [] for slot in slots}
        if slots:
            turn = self.world.chance.randrange(len(slots))
            for partition in range(self.partitions):
                self.assignment[slots[(partition + turn) % len(slots)]].append(partition)
        self.world.note("group", self.name, "generation", self.generation, self.assignment)
        for slot, member in self.members.items():
            self._tell(member, slot)

    def _tell(self, member: Member, slot: str) -> None:
        self.world.fly(TOLD, self._assign, member, self.generation, tuple(self.assignment[slot]))

    def _assign(self, member: Member, generation: int, partitions: Sequence[int]) -> None:
        if member.alive:
            member.assign(generation, partitions)

    def silent(self, slot: str, member: Member) -> None:
        """No heartbeat of a member comes any more: it is put out when its session is over, unless it is back."""
        self.world.after(self.session_s, self._expire, slot, member)

    def _expire(self, slot: str, member: Member) -> None:
        if self.members.get(slot) is member and (not member.alive or member.frozen):
            self.leave(slot, member)

    def leave(self, slot: str, member: Member) -> None:
        """A member goes, or is put out."""
        if self.members.get(slot) is not member:
            return
        self._remove(slot)
        if self._joined is None:
            self.rebalance()
        elif self._joined >= self.members.keys():
            self._complete()

    def forget(self, slot: str) -> None:
        """A member is gone for so long that nobody remembers it."""
        if slot in self.members:
            self._remove(slot)
        if self._joined is not None and self._joined >= self.members.keys():
            self._complete()

    def _remove(self, slot: str) -> None:
        member = self.members.pop(slot)
        self.assignment.pop(slot, None)
        self.world.note("group", self.name, "puts out", slot)
        if member.alive and not member.frozen:
            member.unknown()

    def is_member(self, slot: str, member: Member) -> bool:
        """Whether its heartbeats are accepted."""
        return self.members.get(slot) is member

    def commit(self, slot: str, member: Member, generation: int, offsets: dict[int, int]) -> bool:
        """Keep offsets; False where whoever commits is not known, or has missed a rebalance."""
        if self.members.get(slot) is not member or generation != self.generation:
            return False
        self.committed.update(offsets)
        return True
