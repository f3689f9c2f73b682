"""A body in any pieces becomes the blocks that its fact names, in bounded memory, or nothing that counts."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.blobs import Blobs, BlobsUnavailable, Block, Committed
from bridge.checksums import Piece, crc64, hex16
from bridge.contract.events import Staged
from bridge.contract.inbound import PayloadMessage, Rejected, RejectionCode, Trace
from bridge.layout import EMPTY_MARKER, MIB, BlockId, part_name, part_of
from bridge.memory_blobs import MemoryBlobs
from bridge.staging import cut, stage_payload
from tests.support.azure import azure_blobs

SUB = 8 * MIB
SHORT, LONG = 10, 5_000
"""Total counts whose sub-blocks have 8 and 32 MiB."""


@pytest.fixture(params=["memory", "azure"])
async def blobs(request: pytest.FixtureRequest) -> AsyncIterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs()
        return
    connection_string: str = request.getfixturevalue("blob_connection_string")
    async with azure_blobs(connection_string) as blobs:
        await blobs.create_container()
        yield blobs


def body_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def message_of(
    body: bytes, *, ordinal: int = 3, total_count: int = SHORT, size: int | None = None, sha256: str | None = "right"
) -> PayloadMessage:
    return PayloadMessage(
        transaction="t-1",
        series="cashflows",
        ordinal=ordinal,
        total_count=total_count,
        size=len(body) if size is None else size,
        sha256=hashlib.sha256(body).hexdigest() if sha256 == "right" else sha256,
        trace=Trace(),
    )


def name_of(message: PayloadMessage) -> str:
    return part_name(message.transaction, message.series, part_of(message.ordinal, message.total_count))


def ids_of(fact: Staged) -> list[BlockId]:
    """The blocks that a fact names, as delivery makes them from it."""
    return [BlockId(fact.first, 1, sub, len(fact.blocks), int(crc, 16)) for sub, crc in enumerate(fact.blocks)]


async def pieces_of(body: bytes, seed: int = 1, largest: int = 3 * MIB) -> AsyncGenerator[Piece]:
    """The body in pieces of random sizes, some of them empty, of both kinds."""
    sizes, view, offset = random.Random(seed), memoryview(body), 0
    while offset < len(body):
        size = sizes.choice([0, 1, sizes.randint(1, largest)])
        piece = view[offset : offset + size]
        yield piece if sizes.random() < 0.5 else bytes(piece)
        offset += size


async def stage(blobs: Blobs, body: bytes, message: PayloadMessage, blocks_in_flight: int = 3) -> Staged | Rejected:
    async with aclosing(pieces_of(body)) as pieces:
        return await stage_payload(blobs, message, pieces, blocks_in_flight=blocks_in_flight)


async def staged(blobs: Blobs, body: bytes, message: PayloadMessage) -> Staged:
    fact = await stage(blobs, body, message)
    assert isinstance(fact, Staged)
    return fact


async def committed(blobs: Blobs, message: PayloadMessage, blocks: Sequence[BlockId]) -> bytes:
    done = await blobs.commit(name_of(message), blocks, content_type="application/x-test", metadata={})
    assert isinstance(done, Committed)
    return b"".join([chunk async for chunk in blobs.stream(name_of(message), done.etag)])


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0)


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


async def test_an_empty_payload_is_a_marker_that_no_fact_names(blobs: Blobs) -> None:
    message = message_of(b"")
    fact = await staged(blobs, b"", message)
    assert (fact.sizes, fact.crc64s, fact.blocks) == ((0,), ("0" * 16,), ())
    marker = BlockId(3, 1, 0, 0, crc64([EMPTY_MARKER]))
    assert await blobs.uncommitted(name_of(message)) == [Block(marker, 1)]
    assert await committed(blobs, message, ids_of(fact)) == b""


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


@pytest.mark.parametrize("size", [0, 1, 1_000, SUB + 1])
async def test_another_digest_than_declared_is_refused(blobs: Blobs, size: int) -> None:
    body = body_of(size)
    refused = await stage(blobs, body, message_of(body, sha256="0" * 64))
    assert isinstance(refused, Rejected)
    assert refused.code is RejectionCode.DIGEST_MISMATCH
    assert hashlib.sha256(body).hexdigest() in refused.reason


async def test_blocks_of_a_refused_payload_are_in_nobodys_way(blobs: Blobs) -> None:
    bad, good = body_of(SUB + 1), body_of(SUB + 5, seed=2)
    await stage(blobs, bad, message_of(bad, sha256="0" * 64))
    fact = await staged(blobs, good, message_of(good))
    assert await committed(blobs, message_of(good), ids_of(fact)) == good


@pytest.mark.parametrize("declared", [1, 999, 1_001, SUB, 2 * SUB])
async def test_another_length_than_declared_is_refused(declared: int) -> None:
    body = body_of(1_000)
    refused = await stage(MemoryBlobs(), body, message_of(body, size=declared, sha256=None))
    assert isinstance(refused, Rejected)
    assert refused.code is RejectionCode.LENGTH_MISMATCH
    assert str(declared) in refused.reason


@pytest.mark.parametrize(("declared", "actual"), [(0, 1), (SUB, SUB + 1), (SUB, 2 * SUB), (2 * SUB, SUB)])
async def test_a_length_that_differs_at_a_boundary_is_refused(declared: int, actual: int) -> None:
    body = body_of(actual)
    refused = await stage(MemoryBlobs(), body, message_of(body, size=declared, sha256=None))
    assert isinstance(refused, Rejected)
    assert refused.code is RejectionCode.LENGTH_MISMATCH


async def test_a_body_without_end_is_not_read_to_its_end() -> None:
    taken = 0

    async def endless() -> AsyncGenerator[Piece]:
        nonlocal taken
        while True:
            taken += MIB
            yield bytes(MIB)

    async with aclosing(endless()) as body:
        refused = await stage_payload(MemoryBlobs(), message_of(b"", size=SUB + 1), body, blocks_in_flight=2)
    assert isinstance(refused, Rejected)
    assert refused.code is RejectionCode.LENGTH_MISMATCH
    assert taken <= 2 * SUB + MIB


# Blocks in flight


class Gate(MemoryBlobs):
    """Holds every block until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = 0
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self.most = 0
        self.cancelled: list[int] = []

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        assert block.sub not in self.waiting
        self.waiting[block.sub] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.waiting))
        try:
            await self.waiting[block.sub]
        except asyncio.CancelledError:
            self.cancelled.append(block.sub)
            raise
        finally:
            del self.waiting[block.sub]
        await super().stage_block(name, block, pieces)
        self.stores += 1

    async def holds(self, count: int) -> None:
        await until(lambda: len(self.waiting) == count)

    async def stored(self, count: int) -> None:
        await until(lambda: self.stores == count)


async def test_no_more_blocks_are_in_memory_than_allowed_and_they_may_finish_in_any_order() -> None:
    blobs, body, taken, nsub = Gate(), body_of(5 * SUB + 1), 0, 6
    message = message_of(body, sha256=None)

    async def counted() -> AsyncGenerator[Piece]:
        nonlocal taken
        async for piece in pieces_of(body, largest=MIB):
            taken += len(piece)
            yield piece

    staging = asyncio.create_task(stage_payload(blobs, message, counted(), blocks_in_flight=2))
    for finished in range(nsub):
        await blobs.holds(min(2, nsub - finished))
        for _ in range(100):  # all the turns that it may want for reading on
            await asyncio.sleep(0)
        assert taken <= (finished + 2) * SUB + MIB
        blobs.waiting[max(blobs.waiting)].set_result(None)
        await blobs.stored(finished + 1)
    fact = await staging
    assert isinstance(fact, Staged)
    assert blobs.most == 2
    assert await committed(blobs, message, ids_of(fact)) == body


async def test_one_failing_block_ends_the_others_and_is_what_the_caller_sees() -> None:
    blobs, body = Gate(), body_of(4 * SUB)
    before = asyncio.all_tasks()
    staging = asyncio.create_task(stage_payload(blobs, message_of(body), pieces_of(body), blocks_in_flight=3))
    await blobs.holds(3)
    failure = BlobsUnavailable("try again later")
    blobs.waiting[1].set_exception(failure)
    with pytest.raises(BlobsUnavailable) as caught:
        await staging
    assert caught.value is failure
    assert sorted(blobs.cancelled) == [0, 2]
    assert asyncio.all_tasks() - before <= {staging}
    assert await blobs.uncommitted(name_of(message_of(body))) == []


async def test_a_failing_block_does_not_wait_for_a_body_that_stalls() -> None:
    blobs = Gate()

    async def stalling() -> AsyncGenerator[Piece]:
        yield bytes(SUB)
        await asyncio.Event().wait()

    async with aclosing(stalling()) as body:
        staging = asyncio.create_task(stage_payload(blobs, message_of(bytes(2 * SUB)), body, blocks_in_flight=3))
        await until(lambda: 0 in blobs.waiting)
        blobs.waiting[0].set_exception(BlobsUnavailable("try again later"))
        with pytest.raises(BlobsUnavailable):
            await staging


async def test_a_body_that_breaks_off_raises_and_leaves_no_task() -> None:
    blobs = Gate()
    before = asyncio.all_tasks()

    async def breaking() -> AsyncGenerator[Piece]:
        yield bytes(SUB)
        await until(lambda: 0 in blobs.waiting)
        raise ConnectionResetError("the broker went away")

    with pytest.raises(ConnectionResetError):
        await stage_payload(blobs, message_of(bytes(2 * SUB)), breaking(), blocks_in_flight=3)
    assert blobs.cancelled == [0]
    assert asyncio.all_tasks() == before


async def test_a_refusal_ends_the_blocks_in_flight() -> None:
    blobs, body = Gate(), body_of(2 * SUB)
    before = asyncio.all_tasks()
    refused = await stage(blobs, body, message_of(body, sha256="0" * 64))
    assert isinstance(refused, Rejected)
    assert asyncio.all_tasks() == before
    assert blobs.waiting == {}


@pytest.mark.parametrize("also_failing", [False, True])
async def test_cancellation_reaches_every_block_and_is_never_lost(also_failing: bool) -> None:
    blobs, body = Gate(), body_of(4 * SUB)
    before = asyncio.all_tasks()
    staging = asyncio.create_task(stage_payload(blobs, message_of(body), pieces_of(body), blocks_in_flight=2))
    await blobs.holds(2)
    if also_failing:
        blobs.waiting[0].set_exception(BlobsUnavailable("try again later"))
        await until(lambda: 0 not in blobs.waiting)
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    assert asyncio.all_tasks() - before <= {staging}
    assert blobs.waiting == {}


# Cutting


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 30))
def test_cutting_loses_nothing_and_fills_every_block_but_the_last(pieces: list[bytes], block_bytes: int) -> None:
    async def run() -> list[bytes]:
        async def body() -> AsyncGenerator[Piece]:
            for piece in pieces:
                yield piece

        return [b"".join(block) async for block in cut(body(), block_bytes)]

    blocks = asyncio.run(run())
    assert b"".join(blocks) == b"".join(pieces)
    assert all(len(block) == block_bytes for block in blocks[:-1])
    assert all(0 < len(block) <= block_bytes for block in blocks[-1:])


async def test_cutting_copies_nothing() -> None:
    body = bytes(100)

    async def whole() -> AsyncGenerator[Piece]:
        yield body

    views = [view async for block in cut(whole(), 30) for view in block]
    assert [len(view) for view in views] == [30, 30, 30, 10]
    assert all(isinstance(view, memoryview) and view.obj is body for view in views)
