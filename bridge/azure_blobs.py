"""Azure Blob Storage, through its SDK: one long-lived client for one container.

Why the SDK is used the way it is:

* A block's body is an object whose iteration starts anew at every attempt (`bridge.azure_body`).
* `upload_blob` may never split a record into blocks: it numbers them, so two writers would mix their contents.
* Its retries wait 15 s and more by default, whatever the service asks for (`bridge.azure_retry`). They make every write
  ambiguous, which is why a conflict is answered by what is there and not by an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import lru_cache
from typing import Final, Self, cast

import structlog
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, BlockState, ContentSettings
from azure.storage.blob.aio import BlobClient, ContainerClient
from yarl import URL

from bridge.azure_body import BlockBody, Integrity
from bridge.azure_client import connect, is_emulator
from bridge.azure_errors import asking, code_of, is_absent
from bridge.azure_listing import delete_version, list_page
from bridge.azure_properties import head, unquoted
from bridge.azure_reading import read_range, read_whole
from bridge.azure_retry import Backoff
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
    Block,
    Committed,
    Content,
    Deletion,
    Exists,
    MissingBlocks,
    Page,
)
from bridge.checksums import Piece
from bridge.layout import KEEP_ALIVE, BlockId
from bridge.settings import BlobSettings, SettingsError

_log = structlog.get_logger()

BLOB_CLIENTS_MAX: Final = 64
"""Kept, because the blocks of one blob come one after the other, and making a client for each took a twentieth of the
CPU time of storing it."""


class AzureBlobs:
    """`bridge.blobs.Blobs` in Azure or its emulator; an async context manager that owns the connections."""

    def __init__(
        self,
        settings: BlobSettings,
        *,
        connections_max: int = 64,
        retry: Backoff | None = None,
        integrity: Integrity | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            settings: a connection string, or an account's URL, for which the process's own identity is used.
            connections_max: open at once; further requests wait.
            retry: of each request; up to 4 more attempts within about a minute when None.
            integrity: how the service checks a block's bytes. None: by CRC-64, which costs nothing and is in the id
                already, except in the emulator, which computes it at 54-79 MiB/s: there by MD5.

        Raises:
            SettingsError: neither is set.
        """
        if not settings.blob_connection_string and not settings.blob_account_url:
            raise SettingsError("BRH_BLOB_CONNECTION_STRING or BRH_BLOB_ACCOUNT_URL: one of the two must be set")
        self._settings = settings
        self._connections_max = connections_max
        self._retry = retry or Backoff()
        self._wanted = integrity
        self._integrity: Integrity = integrity or "crc64"
        self._container: ContainerClient | None = None
        self._blob = lru_cache(BLOB_CLIENTS_MAX)(self._blob_client)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            service = await connect(self._settings, self._retry, self._connections_max, opening)
            self._container = service.get_container_client(self._settings.blob_container)
            if self._wanted is None:
                self._integrity = "md5" if is_emulator(service.url) else "crc64"
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._container = None
        self._blob.cache_clear()
        await self._open.aclose()

    async def create_container(self) -> bool:
        """Create Container."""
        async with asking(f"create container {self._settings.blob_container}"):
            try:
                await self._client().create_container()
            except HttpResponseError as error:
                if code_of(error) != "ContainerAlreadyExists":
                    raise
                return False
        return True

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        """Put Block."""
        check_block(block, pieces)
        body = BlockBody(pieces)
        async with asking(f"stage block {block} of {name}"):
            await self._blob(name).stage_block(
                str(block),
                # The SDK's types know only synchronous iterables; its transport takes asynchronous ones as well.
                cast("Iterable[bytes]", body),
                length=body.size,
                headers=await body.checksum(block, self._integrity),
            )

    async def uncommitted(self, name: str) -> list[Block]:
        """Get Block List."""
        async with asking(f"list the blocks of {name}"):
            try:
                _, found = await self._blob(name).get_block_list("uncommitted")
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                return []
        ours = [Block(block_id, block.size) for block in found if (block_id := BlockId.parse(block.id)) is not None]
        if len(ours) < len(found):
            _log.warning("blocks that are not ours", blob=name, foreign=len(found) - len(ours))
        return [block for block in ours if block.id != KEEP_ALIVE]

    async def commit(
        self, name: str, blocks: Sequence[BlockId], *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        """Put Block List with `If-None-Match: *`, and a look at the result."""
        listed = [BlobBlock(str(block), state=BlockState.UNCOMMITTED) for block in blocks]
        async with asking(f"commit {name}"):
            try:
                done = await self._blob(name).commit_block_list(
                    listed,
                    content_settings=ContentSettings(content_type=content_type),
                    metadata=check_metadata(metadata),
                    match_condition=MatchConditions.IfMissing,
                )
            except HttpResponseError as error:
                return await self._in_the_way(name, error)
            etag = unquoted(str(done["etag"]))
            there = await head(self._blob(name))
        if there is None or there.etag != etag:
            raise BlobChanged(f"{name} was committed, and is not there in version {etag} any more")
        return Committed(etag, there.size)

    async def properties(self, name: str) -> BlobProperties | None:
        """Get Blob Properties."""
        async with asking(f"look up {name}"):
            return await head(self._blob(name))

    async def write_once(
        self, name: str, body: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> Committed | Exists:
        """Put Blob with `If-None-Match: *`."""
        check_record(name, body)
        async with asking(f"write {name}"):
            try:
                done = await self._blob(name).upload_blob(
                    body,
                    length=len(body),
                    overwrite=False,
                    content_settings=ContentSettings(content_type=content_type),
                    metadata=check_metadata(metadata),
                    validate_content="md5",
                )
            except HttpResponseError as error:
                return await self._in_the_way(name, error)
        return Committed(unquoted(str(done["etag"])), len(body))

    async def read(self, name: str, *, max_bytes: int = READ_MAX_BYTES) -> Content | None:
        """Get Blob."""
        async with asking(f"read {name}"):
            return await read_whole(self._blob(name), name, max_bytes)

    async def stream(self, name: str, etag: str, *, chunk_bytes: int = RANGE_MAX_BYTES) -> AsyncGenerator[bytes]:
        """Get Blob by ranges with `If-Match`."""
        check_chunk(chunk_bytes)
        there = await self.properties(name)
        if there is None or there.etag != etag:
            raise BlobChanged(f"{name} is not there in version {etag}")
        for offset in range(0, there.size, chunk_bytes):
            async with asking(f"read {name} from byte {offset}"):
                chunk = await read_range(self._blob(name), name, etag, offset, min(chunk_bytes, there.size - offset))
            yield chunk

    async def page(self, prefix: str = "", *, after: str | None = None, limit: int = PAGE_MAX) -> Page:
        """List Blobs, with those of which nothing is committed."""
        check_limit(limit)
        async with asking(f"list {prefix or 'the container'}"):
            return await list_page(self._client(), prefix, after, limit)

    async def delete(self, name: str, etag: str) -> Deletion:
        """Delete Blob with `If-Match`."""
        async with asking(f"delete {name}"):
            return await delete_version(self._blob(name), etag)

    def uri(self, name: str) -> str:
        """Of the account, the container and the blob."""
        # A shared access signature in the connection string would be part of the SDK's URL.
        return str(URL(self._blob(name).url, encoded=True).with_query(None))

    def _client(self) -> ContainerClient:
        if self._container is None:
            raise RuntimeError("AzureBlobs is not open: use it inside `async with`")
        return self._container

    def _blob_client(self, name: str) -> BlobClient:
        return self._client().get_blob_client(name)

    async def _in_the_way(self, name: str, error: HttpResponseError) -> Exists:
        """What a create-only write met, when it met a blob; raises otherwise.

        Documents disagree on 409 or 412, other troubles share these codes, and a repeated commit may meet the blocks
        that its first attempt used up: only the blob itself tells.
        """
        missing = code_of(error) == "InvalidBlockList"
        if (missing or error.status_code in {409, 412}) and (there := await head(self._blob(name))) is not None:
            return Exists(there)
        if missing:
            raise MissingBlocks(f"{name}: a listed block is not staged: list its blocks and look again") from error
        raise error
