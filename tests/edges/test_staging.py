"""A body in sub-blocks becomes the blocks that its fact names, or nothing that counts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence

import pytest

from bridge.blobs import Blobs, Block, Committed
from bridge.checksums import crc64, hex16
from bridge.contract.events import Staged
from bridge.contract.inbound import PayloadMessage, Rejected, RejectionCode
from bridge.layout import MIB, BlockId, sub_block_bytes
from bridge.memory_blobs import MemoryBlobs
from bridge.staging import stage_payload
from tests.support.azure import azure_blobs
from tests.support.sub_blocks import LONG, SHORT, SubBlocks, body_of, ids_of, message_of, name_of

SUB = 8 * MIB


@pytest.fixture(params=["memory", "azure"])
async def blobs(request: pytest.FixtureRequest) -> AsyncIterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs()
        return
    connection_string: str = request.getfixturevalue("blob_connection_string")
    async with azure_blobs(connection_string) as blobs:
        await blobs.create_container()
        yield blobs


async def stage(blobs: Blobs, body: bytes, message: PayloadMessage) -> Staged | Rejected:
    sub_blocks = SubBlocks(body, sub_block_bytes(message.total_count))
    result = await stage_payload(blobs.stage_block, message, sub_blocks)
    assert sub_blocks.all_released_once
    return result


async def staged(blobs: Blobs, body: bytes, message: PayloadMessage) -> Staged:
    fact = await stage(blobs, body, message)
    assert isinstance(fact, Staged)
    return fact


async def committed(blobs: Blobs, message: PayloadMessage, blocks: Sequence[BlockId]) -> bytes:
    done = await blobs.commit(name_of(message), blocks, content_type="application/x-test", metadata={})
    assert isinstance(done, Committed)
    return b"".join([chunk async for chunk in blobs.stream(name_of(message), done.etag)])


# What is staged


@pytest.mark.parametrize("size", [1, SUB - 1, SUB, SUB + 1, 2 * SUB, 20_000_000])
async def test_the_blocks_of_the_fact_make_the_body(blobs: Blobs, size: int) -> None:
    body = body_of(size)
    message = message_of(body)
    fact = await staged(blobs, body, message)
    subs = [body[offset : offset + SUB] for offset in range(0, size, SUB)]
    assert fact == Staged(
        series="cashflows",
        first=3,
        count=1,
        total_count=SHORT,
        sizes=(size,),
        crc64s=(hex16(crc64([body])),),
        blocks=tuple(hex16(crc64([sub])) for sub in subs),
    )
    blocks = ids_of(fact)
    assert sorted(await blobs.uncommitted(name_of(message))) == [
        Block(block, len(sub)) for block, sub in zip(blocks, subs, strict=True)
    ]
    assert await committed(blobs, message, blocks) == body


async def test_payloads_lie_in_one_blob_in_the_order_of_their_ordinals(blobs: Blobs) -> None:
    bodies = {n: body_of(n * 1_000_003 % (SUB + MIB), seed=n) for n in (4, 1, 3, 2)}
    facts = {n: await staged(blobs, body, message_of(body, ordinal=n)) for n, body in bodies.items()}
    listed = [block for n in (1, 2, 3, 4) for block in ids_of(facts[n])]
    assert await committed(blobs, message_of(b""), listed) == b"".join(bodies[n] for n in (1, 2, 3, 4))


async def test_long_series_have_larger_blocks_and_further_parts() -> None:
    blobs, body = MemoryBlobs(), body_of(32 * MIB + 1)
    message = message_of(body, ordinal=4_097, total_count=LONG)
    fact = await staged(blobs, body, message)
    assert [block.size for block in sorted(await blobs.uncommitted("t-1/cashflows/part-00001"))] == [32 * MIB, 1]
    assert await committed(blobs, message, ids_of(fact)) == body


async def test_a_redelivery_is_the_same_fact_and_stages_nothing_new(blobs: Blobs) -> None:
    body = body_of(SUB + 1)
    message = message_of(body)
    first = await staged(blobs, body, message)
    before = sorted(await blobs.uncommitted(name_of(message)))
    assert await staged(blobs, body, message) == first
    assert sorted(await blobs.uncommitted(name_of(message))) == before


async def test_other_content_for_an_ordinal_leaves_the_first_untouched(blobs: Blobs) -> None:
    body, other = body_of(SUB + 1), body_of(SUB + 1, seed=2)
    first = await staged(blobs, body, message_of(body))
    assert await staged(blobs, other, message_of(other)) != first
    assert await committed(blobs, message_of(body), ids_of(first)) == body


async def test_a_payload_without_a_declared_digest_is_accepted(blobs: Blobs) -> None:
    body = body_of(1_000)
    assert isinstance(await stage(blobs, body, message_of(body, sha256=None)), Staged)


# What is refused


@pytest.mark.parametrize("size", [1, 1_000, MIB, SUB + 1])
async def test_another_digest_than_declared_is_refused(blobs: Blobs, size: int) -> None:
    body = body_of(size)
    refused = await stage(blobs, body, message_of(body, sha256="0" * 64))
    assert isinstance(refused, Rejected)
    assert refused.code is RejectionCode.DIGEST_MISMATCH
    assert hashlib.sha256(body).hexdigest() in refused.reason


@pytest.mark.parametrize("size", [1_000, 2 * SUB + 1])
async def test_a_refused_payload_is_never_whole_in_storage(blobs: Blobs, size: int) -> None:
    body = body_of(size)
    message = message_of(body, sha256="0" * 64)
    await stage(blobs, body, message)
    last = -(-size // SUB) - 1
    assert [block.id.sub for block in sorted(await blobs.uncommitted(name_of(message)))] == list(range(last))


async def test_blocks_of_a_refused_payload_are_in_nobodys_way(blobs: Blobs) -> None:
    bad, good = body_of(SUB + 1), body_of(SUB + 5, seed=2)
    await stage(blobs, bad, message_of(bad, sha256="0" * 64))
    fact = await staged(blobs, good, message_of(good))
    assert await committed(blobs, message_of(good), ids_of(fact)) == good
