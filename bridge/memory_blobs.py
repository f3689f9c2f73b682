"""Blob storage in memory: the twin of `bridge.azure_blobs` for tests and demos that need no service.

It passes the same conformance suite, down to what is invisible, dropped and refused. It keeps everything it is given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import NamedTuple

from bridge.blob_limits import (
    PAGE_MAX,
    RANGE_MAX_BYTES,
    READ_MAX_BYTES,
    check_block,
    check_chunk,
    check_limit,
    check_metadata,
    check_record,
)
from bridge.blobs import (
    BlobChanged,
    BlobProperties,
    BlobsRefused,
    BlobsUnavailable,
    BlobTooLarge,
    Block,
    Committed,
    Content,
    Deletion,
    Exists,
    Listed,
    MissingBlocks,
    Page,
)
from bridge.checksums import Piece, crc64
from bridge.layout import KEEP_ALIVE, BlockId


class _Blob(NamedTuple):
    body: bytes
    properties: BlobProperties
    modified: datetime


class MemoryBlobs:
    """`bridge.blobs.Blobs` in memory. No method ever waits, so each is atomic among the tasks of one event loop."""

    def __init__(self, container: str = "results", *, created: bool = True) -> None:
        """A container that is there already, unless `created` is False."""
        self._container = container
        self._created = created
        self._committed: dict[str, _Blob] = {}
        self._staged: dict[str, dict[BlockId, bytes]] = {}
        self._versions = count(1)

    async def create_container(self) -> bool:
        """True where the container was not there."""
        made, self._created = not self._created, True
        return made

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        """Keeps a copy of the bytes."""
        check_block(block, pieces)
        self._require_container()
        if crc64(pieces) != block.crc64:
            raise BlobsUnavailable(f"block {block} has other bytes than its id says: stage it again from its source")
        self._staged.setdefault(name, {})[block] = b"".join(pieces)

    async def uncommitted(self, name: str) -> list[Block]:
        """Staged and neither committed nor dropped."""
        self._require_container()
        staged = self._staged.get(name, {})
        return [Block(block, len(body)) for block, body in staged.items() if block != KEEP_ALIVE]

    async def commit(
        self, name: str, blocks: Sequence[BlockId], *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        """Joins the bytes."""
        checked = check_metadata(metadata)
        self._require_container()
        if there := self._committed.get(name):
            return Exists(there.properties)
        staged = self._staged.get(name, {})
        if not staged.keys() >= set(blocks):
            raise MissingBlocks(f"{name}: a listed block is not staged: list its blocks and look again")
        return self._put(name, b"".join(staged[block] for block in blocks), content_type, checked)

    async def properties(self, name: str) -> BlobProperties | None:
        """Of a committed blob."""
        self._require_container()
        there = self._committed.get(name)
        return there.properties if there else None

    async def write_once(
        self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        """Keeps the body."""
        check_record(name, body)
        checked = check_metadata(metadata)
        self._require_container()
        if there := self._committed.get(name):
            return Exists(there.properties)
        return self._put(name, body, content_type, checked)

    async def read(self, name: str, *, max_bytes: int = READ_MAX_BYTES) -> Content | None:
        """The body as it was written."""
        self._require_container()
        there = self._committed.get(name)
        if there is None:
            return None
        if len(there.body) > max_bytes:
            raise BlobTooLarge(f"{name} has {len(there.body)} bytes, more than {max_bytes}: stream it")
        return Content(there.body, there.properties.etag, there.properties.metadata)

    async def stream(self, name: str, etag: str, *, chunk_bytes: int = RANGE_MAX_BYTES) -> AsyncGenerator[bytes]:
        """Slices of the body."""
        check_chunk(chunk_bytes)
        self._require_container()
        offset = 0
        while True:
            there = self._committed.get(name)
            if there is None or there.properties.etag != etag:
                raise BlobChanged(f"{name} is not there in version {etag}")
            if offset >= len(there.body):
                return
            yield there.body[offset : offset + chunk_bytes]
            offset += chunk_bytes

    async def page(self, prefix: str = "", *, after: str | None = None, limit: int = PAGE_MAX) -> Page:
        """In ascending order; the next page begins behind the last name of this one."""
        check_limit(limit)
        self._require_container()
        names = sorted(self._committed.keys() | self._staged.keys())
        wanted = [name for name in names if name.startswith(prefix) and (after is None or name > after)]
        blobs = tuple(self._listed(name) for name in wanted[:limit])
        return Page(blobs, blobs[-1].name if len(wanted) > limit else None)

    async def delete(self, name: str, etag: str) -> Deletion:
        """Forgets the body, and what is staged on it."""
        self._require_container()
        there = self._committed.get(name)
        if there is None:
            return Deletion.ABSENT
        if there.properties.etag != etag:
            return Deletion.CHANGED
        del self._committed[name]
        self._staged.pop(name, None)
        return Deletion.DELETED

    def uri(self, name: str) -> str:
        """One that no program can open."""
        return f"memory://{self._container}/{name}"

    def _listed(self, name: str) -> Listed:
        there = self._committed.get(name)
        if there is None:
            return Listed(name, 0, "0x0", None, {})
        found = there.properties
        return Listed(name, found.size, found.etag, there.modified, dict(found.metadata))

    def _require_container(self) -> None:
        if not self._created:
            raise BlobsRefused(f"container {self._container} does not exist: create it with `brh setup`")

    def _put(self, name: str, body: bytes, content_type: str, metadata: dict[str, str]) -> Committed:
        etag = f"0x{next(self._versions):016X}"
        self._committed[name] = _Blob(body, BlobProperties(len(body), etag, content_type, metadata), datetime.now(UTC))
        self._staged.pop(name, None)
        return Committed(etag, len(body))
