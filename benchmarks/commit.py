"""What a commit costs beyond the service's own time: 50,000 blocks, one for each ordinal, in 13 parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import ClientSession
from azure.storage.blob import BlobBlock, BlockState
from azure.storage.blob.aio import BlobServiceClient

from benchmarks.measured import Machine
from benchmarks.raw_put_block import put_block, signed_url
from benchmarks.sides import Figures, world_of
from bridge.azure_blobs import AzureBlobs
from bridge.checksums import crc64, hex16
from bridge.contract.events import Staged
from bridge.layout import BlockId, part_count, part_name, part_of, part_ordinals
from streams.commit import assemble
from streams.settings import ClientSettings
from tables.accept import take
from tables.effects import Deliver, PartPlan, SeriesPlan, digest_text
from tables.transaction import Series

BLOCKS: Final = 50_000
AT_ONCE: Final = 16
COMMITS_IN_FLIGHT: Final = 4
_TRANSACTION: Final = "T"
_SERIES: Final = "s"


def assembled(machine: Machine) -> Figures:
    """By the product: it lists, picks, checks the digest and commits."""

    async def work(blobs: AzureBlobs, settings: ClientSettings) -> float:
        effect = Deliver("id", _TRANSACTION, "default", "Completed", datetime.now(UTC), (_plan(),))
        began = time.perf_counter()
        await assemble(blobs, effect, COMMITS_IN_FLIGHT)
        return time.perf_counter() - began

    return _staged(machine, work)


def bare(machine: Machine) -> Figures:
    """By the calls alone, with lists that were made before."""

    async def work(blobs: AzureBlobs, settings: ClientSettings) -> float:
        assert settings.blob_connection_string is not None
        connection_string = settings.blob_connection_string.get_secret_value()
        version = settings.blob_api_version
        async with BlobServiceClient.from_connection_string(connection_string, api_version=version) as client:
            return await _bare(client, settings.blob_container)

    return _staged(machine, work)


def _staged(machine: Machine, work: Callable[[AzureBlobs, ClientSettings], Awaitable[float]]) -> Figures:
    async def both(blobs: AzureBlobs, settings: ClientSettings) -> float:
        async with blobs:
            await _stage(settings)
            await asyncio.to_thread(machine.wait_quiet)
            return await work(blobs, settings)

    with world_of(machine) as world:
        return {"seconds": asyncio.run(both(world.blobs(), world.settings))}


async def _stage(settings: ClientSettings) -> None:
    """By plain HTTP, because it takes most of the time, and is not what is measured."""
    numbered = iter(range(1, BLOCKS + 1))
    names = [part_name(_TRANSACTION, _SERIES, part) for part in range(part_count(BLOCKS))]
    urls = [await signed_url(settings, name) for name in names]
    headers = {"x-ms-version": settings.blob_api_version}

    async def worker(session: ClientSession) -> None:
        for ordinal in numbered:
            url = urls[part_of(ordinal, BLOCKS)]
            await put_block(session, url, str(_block(ordinal)), _body(ordinal), headers)

    async with ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(AT_ONCE)))


def _plan() -> SeriesPlan:
    series = Series()
    for ordinal in range(1, BLOCKS + 1):
        crc = hex16(_block(ordinal).crc64)
        series, _ = take(series, Staged(_SERIES, ordinal, 1, BLOCKS, (len(_body(ordinal)),), (crc,), (crc,)))
    parts = tuple(
        PartPlan(
            number, tally.ordinals, tally.blocks, tally.bytes, digest_text(tally.digest), digest_text(tally.content)
        )
        for number, tally in sorted(series.parts.items())
    )
    return SeriesPlan(_SERIES, BLOCKS, None, parts)


async def _bare(client: BlobServiceClient, container: str) -> float:
    slots = asyncio.Semaphore(COMMITS_IN_FLIGHT)
    lists = [
        [BlobBlock(str(_block(ordinal)), state=BlockState.UNCOMMITTED) for ordinal in part_ordinals(part, BLOCKS)]
        for part in range(part_count(BLOCKS))
    ]

    async def one(part: int) -> None:
        blob = client.get_blob_client(container, part_name(_TRANSACTION, _SERIES, part))
        async with slots:
            await blob.get_block_list("uncommitted")
            await blob.commit_block_list(lists[part])

    began = time.perf_counter()
    await asyncio.gather(*(one(part) for part in range(len(lists))))
    return time.perf_counter() - began


def _body(ordinal: int) -> bytes:
    return ordinal.to_bytes(8, "big")


def _block(ordinal: int) -> BlockId:
    return BlockId(BLOCKS, ordinal, 1, 0, 1, crc64((_body(ordinal),)))
