"""Sub-blocks for `bridge.staging`, each of which knows how often it was released, and storage that waits to be told."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from bridge.checksums import Piece, crc64
from bridge.contract.events import Staged
from bridge.contract.inbound import PayloadMessage, Trace
from bridge.inflow import SubBlock
from bridge.layout import MIB, BlockId, part_name, part_of
from bridge.memory_blobs import MemoryBlobs

SHORT, LONG = 10, 5_000
"""Total counts whose sub-blocks have 8 and 32 MiB."""


def body_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def message_of(
    body: bytes, *, ordinal: int = 3, total_count: int = SHORT, size: int | None = None, sha256: str | None = "right"
) -> PayloadMessage:
    return PayloadMessage(
        transaction="t-1",
        series="cashflows",
        ordinal=ordinal,
        total_count=total_count,
        size=len(body) if size is None else size,
        sha256=hashlib.sha256(body).hexdigest() if sha256 == "right" else sha256,
        trace=Trace(),
    )


def name_of(message: PayloadMessage) -> str:
    return part_name(message.transaction, message.series, part_of(message.ordinal, message.total_count))


def ids_of(fact: Staged) -> list[BlockId]:
    """The blocks that a fact names, as delivery makes them from it."""
    nsub = len(fact.blocks)
    return [BlockId(fact.total_count, fact.first, 1, sub, nsub, int(crc, 16)) for sub, crc in enumerate(fact.blocks)]


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0)


class SubBlocks:
    """A body in sub-blocks; after `arrived` of them it does what `then` does: nothing more comes, or it raises."""

    def __init__(
        self, body: bytes, block_bytes: int, *, arrived: int | None = None, then: Exception | None = None
    ) -> None:
        self._body = memoryview(body)
        self._block_bytes = block_bytes
        self._arrived = arrived
        self._then = then
        self.given = 0
        self.released: Counter[int] = Counter()

    async def __aiter__(self) -> AsyncIterator[SubBlock]:
        for index, start in enumerate(range(0, len(self._body), self._block_bytes)):
            if index == self._arrived:
                if self._then is not None:
                    raise self._then
                await asyncio.Event().wait()
            block = self._body[start : start + self._block_bytes]
            self.given += 1
            yield SubBlock(_pieces(block), len(block), crc64((block,)), partial(self.released.update, [index]))

    @property
    def all_released_once(self) -> bool:
        return self.released == dict.fromkeys(range(self.given), 1)


def _pieces(block: memoryview) -> tuple[Piece, ...]:
    """As memory gives them."""
    return tuple(block[start : start + MIB] for start in range(0, len(block), MIB))


class Gate(MemoryBlobs):
    """Holds every block until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = 0
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self.most = 0
        self.cancelled: list[int] = []

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        assert block.sub not in self.waiting
        self.waiting[block.sub] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.waiting))
        try:
            await self.waiting[block.sub]
        except asyncio.CancelledError:
            self.cancelled.append(block.sub)
            raise
        finally:
            del self.waiting[block.sub]
        await super().stage_block(name, block, pieces)
        self.stores += 1

    async def holds(self, count: int) -> None:
        await until(lambda: len(self.waiting) == count)

    async def stored(self, count: int) -> None:
        await until(lambda: self.stores == count)
