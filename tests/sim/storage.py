"""Azure Blob Storage in a world: the product's own twin in memory, behind a network that loses either half of a call.

A request arrives at some step, and its answer comes back at another. In between lies everything that can go wrong: the
request is lost, the service does the work and the answer is lost, the client tries again and finds its own work, or
the work is done long after whoever wanted it has given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from bridge.blob_limits import PAGE_MAX, READ_MAX_BYTES
from bridge.blobs import (
    BlobProperties,
    BlobsUnavailable,
    Block,
    Committed,
    Content,
    Deletion,
    Exists,
    MissingBlocks,
    Page,
)
from bridge.checksums import Piece
from bridge.layout import BlockId
from bridge.memory_blobs import MemoryBlobs
from tests.sim.process import Process
from tests.sim.world import World

UNCOMMITTED_S: Final = 7 * 86_400.0
"""After so long without a new block the uncommitted ones of a blob are gone."""
REQUEST, ANSWER = 11, 12

_T = TypeVar("_T")
Hook = Callable[[str, str, Any], None]


def now_or_never(call: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that never waits."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


class Storage(MemoryBlobs):
    """The service: what it holds, and what it drops."""

    unconditional = False
    """A planted bug: the condition of creation is not sent."""
    by_place = False
    """A planted bug: the name of a block does not tell its content, so another one of its place replaces it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.keeps_staged = False
        """A deletion leaves the blocks that were staged on the blob, as not all services drop them."""
        self.era = 0
        """How often Kafka has lost everything; what was asked for in an earlier one may still be done."""
        self.asked_in = 0
        """In which era the record was asked for that is written now."""
        self._staged_s: dict[str, float] = {}
        self.on_change: Hook = lambda _what, _name, _result: None

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        await super().stage_block(name, block, pieces)
        if self.by_place:
            self._replace(self._staged[name], block)
        self._staged_s[name] = self.world.now_s
        self.on_change("stage", name, block)

    async def commit(
        self, name: str, blocks: Sequence[BlockId], *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        there = self._committed.pop(name, None) if self.unconditional else None
        try:
            done = await super().commit(name, blocks, content_type=content_type, metadata=metadata)
        except MissingBlocks:
            if there is not None:
                self._committed[name] = there
            raise
        if isinstance(done, Committed):
            self.on_change("commit", name, blocks)
        return done

    async def write_once(
        self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        if self.unconditional:
            self._committed.pop(name, None)
        done = await super().write_once(name, body, content_type=content_type, metadata=metadata)
        if isinstance(done, Committed):
            self.on_change("write", name, body)
        return done

    async def delete(self, name: str, etag: str) -> Deletion:
        staged = self._staged.get(name)
        done = await super().delete(name, etag)
        if done is Deletion.DELETED:
            if self.keeps_staged and staged:
                self._staged[name] = staged
            self.on_change("delete", name, etag)
        return done

    def _replace(self, staged: dict[BlockId, bytes], block: BlockId) -> None:
        for other in staged:
            if (other.first, other.count, other.sub) == (block.first, block.count, block.sub):
                staged[other] = staged[block]

    def body(self, name: str) -> bytes | None:
        """Of a committed blob, for whoever checks."""
        there = self._committed.get(name)
        return there.body if there else None

    def etag(self, name: str) -> str | None:
        """Of a committed blob."""
        there = self._committed.get(name)
        return there.properties.etag if there else None

    def names(self) -> list[str]:
        """Of everything committed."""
        return sorted(self._committed)

    def staged(self, name: str) -> dict[BlockId, bytes]:
        """What is uncommitted of a blob."""
        return self._staged.get(name, {})

    def staged_names(self) -> list[str]:
        """Of everything that has uncommitted blocks."""
        return sorted(name for name, blocks in self._staged.items() if blocks)

    def expire(self) -> list[str]:
        """Drop what has been uncommitted for too long; the blobs that had any, and were not committed."""
        old = [
            name for name in self.staged_names() if self.world.now_s - self._staged_s.get(name, 0.0) >= UNCOMMITTED_S
        ]
        for name in old:
            del self._staged[name]
        return [name for name in old if name not in self._committed]


class Weather:
    """How likely what can go wrong between a client and the storage is, a call."""

    def __init__(self) -> None:
        self.lost = 0.0
        """The request does not arrive; the client is told so."""
        self.unanswered = 0.0
        """The work is done, and the client is told that it may not have been."""
        self.repeated = 0.0
        """The work is done, the answer is lost, and the client's own retry finds what it did."""
        self.late = 0.0
        """The client is told that it failed, and the work is done a while later."""
        self.slow = 0.0
        """It takes a while."""
        self.down = False
        """Nothing arrives."""


class BlobClient:
    """What a process has of the storage: `bridge.blobs.Blobs`."""

    def __init__(self, process: Process, storage: Storage, weather: Weather) -> None:
        self._process = process
        self._world = process.world
        self._storage = storage
        self._weather = weather

    async def create_container(self) -> bool:
        return False

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        # Buffers are used again: what is sent is what they hold now.
        body = [b"".join(pieces)]
        await self._call(True, lambda: self._storage.stage_block(name, block, body))

    async def uncommitted(self, name: str) -> list[Block]:
        return await self._call(False, lambda: self._storage.uncommitted(name))

    async def commit(
        self, name: str, blocks: Sequence[BlockId], *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        return await self._call(
            True, lambda: self._storage.commit(name, blocks, content_type=content_type, metadata=metadata)
        )

    async def properties(self, name: str) -> BlobProperties | None:
        return await self._call(False, lambda: self._storage.properties(name))

    async def write_once(
        self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        era = self._storage.era

        def write() -> Coroutine[Any, Any, Committed | Exists]:
            self._storage.asked_in = era
            return self._storage.write_once(name, body, content_type=content_type, metadata=metadata)

        return await self._call(True, write)

    async def read(self, name: str, *, max_bytes: int = READ_MAX_BYTES) -> Content | None:
        return await self._call(False, lambda: self._storage.read(name))

    async def page(self, prefix: str = "", *, after: str | None = None, limit: int = PAGE_MAX) -> Page:
        return await self._call(False, lambda: self._storage.page(prefix, after=after, limit=limit))

    async def delete(self, name: str, etag: str) -> Deletion:
        return await self._call(True, lambda: self._storage.delete(name, etag))

    def uri(self, name: str) -> str:
        return self._storage.uri(name)

    async def _call(self, writes: bool, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        if not self._process.alive:
            await self._process.loop.create_future()  # whatever a dead process wants is not done
        answer = self._process.loop.create_future()
        self._world.fly(REQUEST, self._arrive, answer, writes, work)
        return await answer

    def _arrive(self, answer: asyncio.Future[Any], writes: bool, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        world, weather = self._world, self._weather
        if weather.slow and world.happens(weather.slow):
            world.fault("storage slow")
            world.after(world.chance.uniform(0.1, 30.0), self._do, answer, work)
        elif weather.down or world.happens(weather.lost):
            world.fault("storage down" if weather.down else "storage request lost")
            world.fly(ANSWER, _fail, answer)
        elif writes and world.happens(weather.unanswered):
            world.fault("storage answer lost")
            self._try(work)
            world.fly(ANSWER, _fail, answer)
        elif writes and world.happens(weather.repeated):
            world.fault("storage repeats a write")
            self._try(work)
            self._do(answer, work)
        elif writes and world.happens(weather.late):
            world.fault("storage writes late")
            world.after(world.chance.uniform(0.1, 120.0), self._try, work)
            world.fly(ANSWER, _fail, answer)
        else:
            self._do(answer, work)

    def _try(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            now_or_never(work())
        except Exception as error:  # nobody hears of it
            self._world.note("storage", repr(error))

    def _do(self, answer: asyncio.Future[Any], work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            result = now_or_never(work())
        except Exception as error:
            self._world.fly(ANSWER, _raise, answer, error)
        else:
            self._world.fly(ANSWER, _answer, answer, result)


def _answer(answer: asyncio.Future[Any], result: object) -> None:
    if not answer.done():
        answer.set_result(result)


def _raise(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _fail(answer: asyncio.Future[Any]) -> None:
    _raise(answer, BlobsUnavailable("the service did not answer"))


__all__ = ["BlobClient", "Storage", "Weather"]
