"""What a commit costs beyond the service's own time: 50,000 blocks, one for each ordinal, in 13 parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from azure.storage.blob import BlobBlock, BlockState
from azure.storage.blob.aio import BlobServiceClient

from benchmarks.scenarios import Figures, world_of
from bridge.azure_blobs import AzureBlobs
from bridge.checksums import crc64, hex16
from bridge.contract.events import Staged
from bridge.layout import BlockId, part_count, part_name, part_of, part_ordinals
from streams.commit import assemble
from streams.settings import ClientSettings
from tables.accept import take
from tables.effects import Deliver, PartPlan, SeriesPlan, digest_text
from tables.transaction import Series

BLOCKS = 50_000
AT_ONCE = 16
COMMITS_IN_FLIGHT = 4
_SERIES = "s"


def commit(stack_env: Mapping[str, str]) -> dict[str, Figures]:
    """The same blocks twice: by the product, and by the bare calls with lists made before."""
    with world_of(stack_env) as world:
        product, bare = asyncio.run(_both(world.blobs(), world.settings))
    return {"assemble": {"seconds": product}, "Get Block List and Put Block List alone": {"seconds": bare}}


async def _both(blobs: AzureBlobs, settings: ClientSettings) -> tuple[float, float]:
    async with blobs:
        plan = await _stage(blobs, "product")
        await _stage(blobs, "bare")
        now = datetime.now(UTC)
        effect = Deliver("id", "product", "default", "Completed", now, (plan,))
        began = time.perf_counter()
        await assemble(blobs, effect, COMMITS_IN_FLIGHT)
        product = time.perf_counter() - began
    assert settings.blob_connection_string is not None
    client = BlobServiceClient.from_connection_string(
        settings.blob_connection_string.get_secret_value(), api_version=settings.blob_api_version
    )
    async with client:
        return product, await _bare(client, settings.blob_container)


async def _stage(blobs: AzureBlobs, transaction: str) -> SeriesPlan:
    slots = asyncio.Semaphore(AT_ONCE)
    series = Series()

    async def one(ordinal: int) -> None:
        name = part_name(transaction, _SERIES, part_of(ordinal, BLOCKS))
        async with slots:
            await blobs.stage_block(name, _block(ordinal), [_body(ordinal)])

    for first in range(1, BLOCKS + 1, 1_000):
        await asyncio.gather(*map(one, range(first, first + 1_000)))
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
        blob = client.get_blob_client(container, part_name("bare", _SERIES, part))
        async with slots:
            await blob.get_block_list("uncommitted")
            await blob.commit_block_list(lists[part])

    began = time.perf_counter()
    await asyncio.gather(*map(one, range(len(lists))))
    return time.perf_counter() - began


def _body(ordinal: int) -> bytes:
    return ordinal.to_bytes(8, "big")


def _block(ordinal: int) -> BlockId:
    return BlockId(BLOCKS, ordinal, 1, 0, 1, crc64((_body(ordinal),)))
