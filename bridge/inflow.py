"""Bodies on their way in: what a lane fills, and what the intake reads.

`StreamedBody` cuts a payload into sub-blocks as it arrives, so that one is stored while the next is being received.
`WholeBody` takes a small payload as one piece. Both hold granted memory only, and when there is none the lane pauses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from bridge.checksums import Piece, crc64
from bridge.frames import DroppedBody
from bridge.memory import BUFFER_BYTES, Grant, Memory, Request

WHOLE_OVERHEAD_BYTES: Final = 1_024
"""What the objects around a small body take, which may be more than the body itself."""

REFUSAL_BYTES: Final = 8_192
"""What a refusal that is being announced takes: the properties of its message, the event, and their objects."""


class SubBlock:
    """Some consecutive bytes of a body, complete; `release` when they are stored."""

    __slots__ = ("crc64", "pieces", "release", "size")

    def __init__(self, pieces: tuple[Piece, ...], size: int, crc64: int, release: Callable[[], None]) -> None:
        self.pieces = pieces
        self.size = size
        """Bytes."""
        self.crc64 = crc64
        """Of all of them."""
        self.release = release


class StreamedBody:
    """A body of known size in sub-blocks: filled by a lane, iterated once by its reader."""

    def __init__(
        self, size: int, block_bytes: int, *, memory: Memory, blocks_max: int, proceed: Callable[[], None]
    ) -> None:
        """Holds nothing yet.

        Args:
            size: bytes of the whole body, at least 1.
            block_bytes: of each sub-block but the last.
            memory: where buffers come from.
            blocks_max: sub-blocks that may be held at once: the one that is being filled, and those being stored.
            proceed: called when there is room again after there was none.
        """
        self._block_bytes = block_bytes
        self._memory = memory
        self._blocks_max = blocks_max
        self._proceed = proceed
        self._unasked = size
        """Bytes of the body for which no memory has been asked yet."""
        self._held = 0
        self._request: Request | None = None
        self._wanted = 0
        """Bytes of the sub-block that is being filled, and how many there are."""
        self._filled = 0
        self._crc64 = 0
        """Of what is there of it."""
        self._ready: deque[SubBlock] = deque()
        self._news = asyncio.Event()
        self._lost: Exception | None = None
        self._ended = False

    def room(self) -> memoryview | None:
        """Of the sub-block that is being filled."""
        if self._request is None and self._held < self._blocks_max:
            self._wanted = min(self._block_bytes, self._unasked)
            self._unasked -= self._wanted
            self._held += 1
            self._request = self._memory.request(self._wanted, self._proceed, buffers=True)
        if self._request is None or (grant := self._request.grant) is None:
            return None
        buffer, at = divmod(self._filled, BUFFER_BYTES)
        return grant.buffers[buffer][at : self._wanted - buffer * BUFFER_BYTES]

    def filled(self, count: int) -> None:
        """A sub-block that is full goes to the reader."""
        if self._request is None or (grant := self._request.grant) is None:
            return
        buffer, at = divmod(self._filled, BUFFER_BYTES)
        # Now, while they are in the processor's cache: when the block is full they must be fetched from memory again.
        self._crc64 = crc64((grant.buffers[buffer][at : at + count],), self._crc64)
        self._filled += count
        if self._filled < self._wanted:
            return
        pieces = tuple(
            buffer[: min(BUFFER_BYTES, self._wanted - at * BUFFER_BYTES)] for at, buffer in enumerate(grant.buffers)
        )
        self._ready.append(SubBlock(pieces, self._wanted, self._crc64, lambda: self._release(grant)))
        self._request, self._filled, self._crc64 = None, 0, 0
        self._news.set()

    def lose(self, why: Exception) -> None:
        """The rest will not come."""
        self._lost = why
        self._news.set()

    def end(self) -> None:
        """The reader is done: give back whatever is still held here. What it was given it releases itself."""
        self._ended = True
        self._blocks_max = 0  # a lane that is about to be aborted finds no room any more
        if self._request is not None:
            self._request.cancel()
            self._request = None
        while self._ready:
            self._ready.popleft().release()

    async def __aiter__(self) -> AsyncIterator[SubBlock]:
        """The sub-blocks in order, each when it is full. Raises what `lose` was told when the body is not whole."""
        while self._ready or self._request is not None or self._unasked:
            while not self._ready:
                if self._lost is not None:
                    raise self._lost
                self._news.clear()
                await self._news.wait()
            yield self._ready.popleft()

    def _release(self, grant: Grant) -> None:
        grant.release()
        self._held -= 1
        if not self._ended and self._request is None and self._unasked:
            self._proceed()


class WholeBody:
    """A small body in one piece."""

    def __init__(
        self,
        size: int,
        *,
        memory: Memory,
        proceed: Callable[[], None],
        done: Callable[[bytes, Callable[[], None]], None],
    ) -> None:
        """Ask for the memory; `done` is called with the body, and what releases it, when it is complete."""
        self._size = size
        self._bytes = bytearray()
        self._filled = 0
        self._done = done
        self._request = memory.request(size + WHOLE_OVERHEAD_BYTES, proceed, buffers=False)

    def room(self) -> memoryview | None:
        """All that is not filled yet."""
        if self._request.grant is None:
            return None
        if not self._bytes:
            self._bytes = bytearray(self._size)
        return memoryview(self._bytes)[self._filled :]

    def filled(self, count: int) -> None:
        """Tell when it is complete."""
        self._filled += count
        if self._filled == self._size and self._request.grant is not None:
            self._done(bytes(self._bytes), self._request.grant.release)

    def lose(self, why: Exception) -> None:
        """The rest will not come."""
        self._request.cancel()


class RefusedBody(DroppedBody):
    """The body of a message that is refused: dropped, and kept waiting while there is no memory for the refusal."""

    def __init__(self, *, memory: Memory, proceed: Callable[[], None]) -> None:
        """Ask for the memory."""
        self._request = memory.request(REFUSAL_BYTES, proceed, buffers=False)
        self._proceed = proceed
        self._over = False

    def room(self) -> memoryview | None:
        """The same memory each time, once the refusal may be held, or need not be held any more."""
        return super().room() if self._over or self._request.grant is not None else None

    def release(self) -> None:
        """The refusal is announced, or given up; again is harmless."""
        if self._over:
            return
        self._over = True
        self._request.cancel()
        if self._request.grant is None:
            # Nobody will grant it any more, and the lane reads nothing until it is told to.
            self._proceed()
