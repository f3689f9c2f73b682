"""Blob storage as the product sees it: what is asked of it, what it answers, how it fails.

`bridge.azure_blobs` does it in Azure; `bridge.memory_blobs` is a twin for tests that need no service. Both pass one
conformance suite, `tests/edges/test_blobs.py`.

Nothing here ever overwrites a committed blob: every write is create-only, and the first one wins. A caller that finds
`Exists` therefore compares what is there with what it wanted to write: it may be its own, because a reply can be lost
after the service did the work and the repeated request then finds its own result. Only a version that was looked at can
be deleted.

ETags have no quotes anywhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple, Protocol

import msgspec

from bridge.blob_limits import PAGE_MAX, RANGE_MAX_BYTES, READ_MAX_BYTES
from bridge.checksums import Piece
from bridge.layout import BlockId


class BlobsError(Exception):
    """Blob storage did not do what it was asked."""


class BlobsUnavailable(BlobsError):
    """Blob storage cannot be reached, is overloaded or failed in between: try again later, nothing is lost."""


class BlobsRefused(BlobsError):
    """Blob storage said no, and will until somebody changes an identity, a permission or a setting."""


class MissingBlocks(BlobsError):
    """A commit named blocks that are not staged: list the blob's blocks and look again; those staged are kept."""


class BlobChanged(BlobsError):
    """The blob is no longer the version with the ETag that was asked for: look up its properties and start again."""


class BlobTooLarge(BlobsError):
    """The blob is larger than the caller can take at once: stream it."""


class BlobProperties(msgspec.Struct, frozen=True):
    """What is known of a committed blob without reading it."""

    size: int
    """Bytes."""
    etag: str
    content_type: str
    metadata: dict[str, str]


class Committed(msgspec.Struct, frozen=True):
    """The blob is ours, just now."""

    etag: str
    size: int
    """Bytes, as the service counts them."""


class Exists(msgspec.Struct, frozen=True):
    """The blob was there before; it may be an earlier success of ours."""

    there: BlobProperties


class Content(NamedTuple):
    """A small blob, whole."""

    body: bytes
    etag: str
    metadata: dict[str, str]


class Block(NamedTuple):
    """An uncommitted block of a blob."""

    id: BlockId
    size: int
    """Bytes; 1 for the marker of an empty payload."""


class Listed(NamedTuple):
    """A blob as a list shows it."""

    name: str
    size: int
    """Bytes. Also 0 where blocks are staged and nothing is committed: a list tells that apart from an empty blob no
    better than this, `properties` does."""
    etag: str
    modified: datetime | None
    """Of what is committed; where nothing is, when the first block came, if the service says."""
    metadata: dict[str, str]

    @property
    def bare(self) -> bool:
        """Neither bytes nor metadata: nothing is committed, or an empty blob that says nothing of itself."""
        return not self.size and not self.metadata


class Page(NamedTuple):
    """Some of a list."""

    blobs: tuple[Listed, ...]
    after: str | None
    """Where the next page begins; None: there is none."""


class Deletion(Enum):
    """What became of a version that had to go."""

    DELETED = auto()
    ABSENT = auto()
    """It was not there; a lost reply to an earlier attempt of ours looks like this too."""
    CHANGED = auto()
    """Another version is there, and stays."""


class Blobs(Protocol):
    """One container. Every method may be called by any number of tasks at once.

    All of them raise BlobsUnavailable (after retries of their own, within minutes) and BlobsRefused; a container that
    does not exist is the latter and never looks like an absent blob.
    """

    async def create_container(self) -> bool:
        """Make the container. False: it is there already."""
        ...

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        """Store a block under its id, uncommitted; again with the same id is harmless.

        Args:
            name: of the blob, which need not exist, and may even be committed: then the block stays invisible.
            block: its `crc64` must be that of the bytes; BlobsUnavailable says that it is not, where they arrived.
            pieces: at least one byte together, ValueError otherwise. Kept, and read again when an attempt fails.
        """
        ...

    async def uncommitted(self, name: str) -> list[Block]:
        """The blob's uncommitted blocks, in no order; none when there is no such blob.

        `KEEP_ALIVE` is left out, and so are blocks with ids of another kind, with a warning in the log: no plan can
        name them, and a commit drops them.
        """
        ...

    async def commit(
        self, name: str, blocks: Sequence[BlockId], *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        """Make the blob from staged blocks, in this order, if it does not exist. Moves no bytes.

        All other uncommitted blocks of the blob are dropped. No blocks make an empty blob, which is also the fence
        before a clean-up: from then on every commit finds `Exists`.

        Args:
            name: of the blob.
            blocks: at most 50,000.
            content_type: of the whole.
            metadata: names `[a-z][a-z0-9_]*`, values printable ASCII; ValueError otherwise.

        Raises:
            MissingBlocks: at least one is not staged; nothing changed.
            BlobChanged: it was made, and deleted before it could be looked at: a clean-up is on its way.
        """
        ...

    async def properties(self, name: str) -> BlobProperties | None:
        """What the blob is; None when it is not there, or not yet committed."""
        ...

    async def write_once(
        self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        """Write a record of at most `RECORD_MAX_BYTES` if there is no blob of that name.

        Metadata as for `commit`. Raises ValueError when the body is too large. Not for a name that blocks are staged
        under: there Azure writes, and its emulator answers 409, which is BlobsUnavailable here.
        """
        ...

    async def read(self, name: str, *, max_bytes: int = READ_MAX_BYTES) -> Content | None:
        """A small blob, whole; None when it is not there. Raises BlobTooLarge above `max_bytes`."""
        ...

    def stream(self, name: str, etag: str, *, chunk_bytes: int = RANGE_MAX_BYTES) -> AsyncGenerator[bytes]:
        """The bytes of one version of a blob, in chunks of `chunk_bytes` (the last one shorter), a request each.

        Raises BlobChanged, before or between chunks, when that version is gone; ValueError for `chunk_bytes` outside
        1 .. `RANGE_MAX_BYTES`.
        """
        ...

    async def page(self, prefix: str = "", *, after: str | None = None, limit: int = PAGE_MAX) -> Page:
        """The blobs below a prefix in the order of their names, those of which nothing is committed as well.

        Args:
            prefix: of their names.
            after: `Page.after` of the page before, with the same prefix.
            limit: of blobs in this page, 1 .. `PAGE_MAX`, ValueError otherwise; there may be fewer, even none, and
                still a next page.
        """
        ...

    async def delete(self, name: str, etag: str) -> Deletion:
        """Delete one version of a blob.

        Blocks that were staged on it are seen no more, but not all services drop them: a commit that names them may
        succeed. Where nothing is committed there is no version: that is absent, and what is staged stays.
        """
        ...

    def uri(self, name: str) -> str:
        """Where the blob is, for whoever has an identity of their own: no signature, no credentials."""
        ...
