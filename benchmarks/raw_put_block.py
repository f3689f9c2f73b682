"""The ceiling: the same blocks from memory into the same storage, by plain HTTP, as many at once as the bridge has.

`python -m benchmarks.raw_put_block COUNT SIZE AT_ONCE` prints the seconds it took; settings as for `python -m bridge`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
import time
from datetime import UTC, datetime, timedelta

from aiohttp import ClientSession, TCPConnector
from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from bridge.settings import BlobSettings, load

PIECE_BYTES = 256 << 10


async def _run(settings: BlobSettings, sizes: list[int], at_once: int) -> float:
    connection_string = settings.blob_connection_string
    assert connection_string is not None
    service = BlobServiceClient.from_connection_string(connection_string.get_secret_value())
    name = "raw"
    async with service:
        signature = generate_blob_sas(
            service.account_name or "",
            settings.blob_container,
            name,
            account_key=service.credential.account_key,
            permission=BlobSasPermissions(create=True, write=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        url = f"{service.url.rstrip('/')}/{settings.blob_container}/{name}?{signature}"
    bodies = {size: os.urandom(size) for size in set(sizes)}
    sums = {size: base64.b64encode(hashlib.md5(body).digest()).decode() for size, body in bodies.items()}
    numbered = iter(enumerate(sizes))

    async with ClientSession(connector=TCPConnector(limit=at_once)) as session:

        async def worker() -> None:
            for number, size in numbered:
                block = base64.b64encode(f"{number:037d}".encode()).decode().replace("=", "%3D")
                view = memoryview(bodies[size])

                async def pieces(view: memoryview = view) -> object:
                    for start in range(0, len(view), PIECE_BYTES):
                        yield view[start : start + PIECE_BYTES]

                headers = {"Content-Length": str(size), "Content-MD5": sums[size], "x-ms-version": "2026-06-06"}
                async with session.put(f"{url}&comp=block&blockid={block}", data=pieces(), headers=headers) as answer:
                    assert answer.status == 201, await answer.text()

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        return time.perf_counter() - began


def blocks(count: int, size: int, block_bytes: int) -> list[int]:
    """Sizes of the blocks of `count` payloads."""
    whole, rest = divmod(size, block_bytes)
    return ([block_bytes] * whole + ([rest] if rest else [])) * count


if __name__ == "__main__":
    print(asyncio.run(_run(load(BlobSettings), blocks(int(sys.argv[1]), int(sys.argv[2]), 8 << 20), int(sys.argv[3]))))
