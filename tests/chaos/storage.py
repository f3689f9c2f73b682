"""What storage holds, read with Azure's own client. It knows nothing of the product but what the contract says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple, Self

from awscrt.checksums import crc64nvme
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

from tests.chaos.known import Content, Place, Sent

API_VERSION: Final = "2026-06-06"
PATIENCE_S: Final = 60
"""With one request; the emulator is frozen for a while now and then."""


class Stored(NamedTuple):
    """A blob in the list of the container."""

    etag: str
    size: int


class Document(NamedTuple):
    """A small blob."""

    etag: str
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said


class Storage:
    """One container; an async context manager."""

    def __init__(self, connection_string: str, container: str) -> None:
        retry = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=8)
        self._service = BlobServiceClient.from_connection_string(
            connection_string, api_version=API_VERSION, retry_policy=retry, read_timeout=PATIENCE_S
        )
        self._container = self._service.get_container_client(container)
        self._name = container

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._service.__aexit__(*error)

    async def document(self, name: str) -> Document | None:
        """A small blob, if it is there."""
        try:
            found = await self._container.download_blob(name)
            return Document(_bare(found.properties.etag), await found.readall())
        except ResourceNotFoundError:
            return None

    async def looks(self, uri: str) -> Stored | None:
        """Whether a blob is there, and which."""
        try:
            found = await self._container.get_blob_client(self.blob_of(uri)).get_blob_properties()
        except ResourceNotFoundError:
            return None
        return Stored(_bare(found.etag), found.size)

    async def list(self) -> dict[str, Stored]:
        """Everything, also what is only staged."""
        found = {}
        async for each in self._container.list_blobs(include=["uncommittedblobs"]):
            found[each.name] = Stored(_bare(each.etag), each.size or 0)
        return found

    async def wrong_bytes(self, sent: Sent, outcome: dict[str, Any], committed: dict[Place, Content]) -> list[str]:
        """What is wrong with the bytes of a Completed outcome; fills `committed` with what is there for each place."""
        wrong = []
        for series in outcome["series"]:
            name = series["seriesType"]
            stream = _Stream(self._bytes(series, wrong))
            for ordinal in _ordinals(series):
                variants = sent.payloads.get((name, ordinal), {})
                found = await stream.match(list(variants))
                if found is None:
                    wrong.append(f"series {name}: at ordinal {ordinal} are none of the bytes that were sent for it")
                    break
                committed[name, ordinal] = found
            else:
                if (left := await stream.count_rest()) > 0:
                    wrong.append(f"series {name}: {left} bytes more than were sent")
        return wrong

    async def _bytes(self, series: dict[str, Any], wrong: list[str]) -> AsyncIterator[bytes]:
        for part in series["parts"]:
            size, crc64 = 0, 0
            if part["bytes"]:
                found = await self._container.download_blob(self.blob_of(part["uri"]))
                async for chunk in found.chunks():
                    size, crc64 = size + len(chunk), crc64nvme(chunk, crc64)
                    yield chunk
            if (size, f"{crc64:016x}") != (part["bytes"], part["crc64"]):
                wrong.append(f"{part['uri']} has {size} bytes with CRC-64 {crc64:016x}, the outcome says {part}")

    def blob_of(self, uri: str) -> str:
        """The name in the container."""
        return uri.partition(f"/{self._name}/")[2]


class _Stream:
    """The bytes of a series, taken payload by payload."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._held = bytearray()

    async def match(self, variants: list[Content]) -> Content | None:
        """Which of the contents comes next; it is taken. None: none of them."""
        if len(variants) == 1:
            return variants[0] if await self._take(variants[0].size) == variants[0].sha else None
        for variant in sorted(variants, key=lambda each: each.size):
            await self._hold(variant.size)
            if hashlib.sha256(self._held[: variant.size]).hexdigest() == variant.sha and (
                len(self._held) >= variant.size
            ):
                del self._held[: variant.size]
                return variant
        return None

    async def count_rest(self) -> int:
        count = len(self._held)
        async for chunk in self._chunks:
            count += len(chunk)
        return count

    async def _take(self, size: int) -> str:
        """Take so many bytes; their digest, or nothing where there are fewer. Never all of a large body in memory."""
        digest, left = hashlib.sha256(), size
        while left:
            if not self._held and not await self._hold(1):
                return ""
            taken = self._held[:left]
            del self._held[:left]
            digest.update(taken)
            left -= len(taken)
        return digest.hexdigest()

    async def _hold(self, size: int) -> bool:
        while len(self._held) < size:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return False
            self._held += chunk
        return True


def _ordinals(series: dict[str, Any]) -> Iterator[int]:
    ranges = series.get("received")
    for first, last in [(1, series["totalCount"] or 0)] if ranges is None else ranges:
        yield from range(first, last + 1)


def _bare(etag: str) -> str:
    return etag.strip('"')
