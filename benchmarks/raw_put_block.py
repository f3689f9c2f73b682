"""The way out alone: the same blocks from memory into the same storage, by plain HTTP.

`python -m benchmarks.raw_put_block COUNT SIZE`; settings as for `python -m bridge`. Where the service is given the MD5
of a block, that is computed for each, as everybody must whose blocks differ. With `--known-before` in front of COUNT it
has been known since before the first block; with `--md5` nothing is done but that.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

from aiohttp import ClientSession, TCPConnector
from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from benchmarks.told import tell
from bridge.azure_client import is_emulator
from bridge.layout import sub_block_bytes
from bridge.settings import BlobSettings, load

PIECE_BYTES = 256 << 10
AT_ONCE = 4
"""As many as the bridge has lanes. Measured: eight are no faster."""


async def put_blocks(settings: BlobSettings, count: int, size: int, *, known_before: bool = False) -> None:
    """Stage the blocks of `count` payloads of `size` bytes."""
    sizes = _blocks(count, size)
    url = await signed_url(settings, "raw")
    hash_each = is_emulator(url) and not known_before
    bodies = {size: os.urandom(size) for size in set(sizes)}
    sums = {size: _md5(body) for size, body in bodies.items()}
    numbered = iter(enumerate(sizes))

    async def worker(session: ClientSession) -> None:
        for number, size in numbered:
            md5 = await asyncio.to_thread(_md5, bodies[size]) if hash_each else sums[size]
            headers = {"Content-Length": str(size), "Content-MD5": md5, "x-ms-version": settings.blob_api_version}
            await put_block(session, url, f"{number:037d}", _pieces(bodies[size]), headers)

    async with ClientSession(connector=TCPConnector(limit=AT_ONCE)) as session:
        await asyncio.gather(*(worker(session) for _ in range(AT_ONCE)))


async def put_block(
    session: ClientSession, url: str, block: str, data: bytes | AsyncIterable[memoryview], headers: Mapping[str, str]
) -> None:
    """One block of the blob that `url` leads to."""
    coded = base64.b64encode(block.encode()).decode().replace("=", "%3D")
    async with session.put(f"{url}&comp=block&blockid={coded}", data=data, headers=headers) as answer:
        assert answer.status == 201, await answer.text()


async def signed_url(settings: BlobSettings, name: str) -> str:
    """Of a blob, with a signature: signing each request is what the SDK costs, not the service."""
    assert settings.blob_connection_string is not None
    connection_string = settings.blob_connection_string.get_secret_value()
    async with BlobServiceClient.from_connection_string(connection_string) as service:
        signature = generate_blob_sas(
            service.account_name or "",
            settings.blob_container,
            name,
            account_key=service.credential.account_key,
            permission=BlobSasPermissions(create=True, write=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        return f"{service.url.rstrip('/')}/{settings.blob_container}/{name}?{signature}"


def _blocks(count: int, size: int) -> list[int]:
    whole, rest = divmod(size, sub_block_bytes(count))
    return ([sub_block_bytes(count)] * whole + ([rest] if rest else [])) * count


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


async def _hash_blocks(count: int, size: int) -> None:
    sizes = _blocks(count, size)
    bodies = {size: os.urandom(size) for size in set(sizes)}
    for each in sizes:
        _md5(bodies[each])


async def _run(how: str, count: int, size: int) -> None:
    if how == "--md5":
        await _hash_blocks(count, size)
    else:
        await put_blocks(load(BlobSettings), count, size, known_before=how == "--known-before")


if __name__ == "__main__":
    *how, payloads, of_bytes = sys.argv[1:]
    asyncio.run(tell(_run("".join(how), int(payloads), int(of_bytes))))
