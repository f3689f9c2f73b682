"""What every storage must do: the same laws for the twin in memory and for the real service behind its adapter.

`azure` verifies blocks as it would in the emulator (MD5), `azure-crc64` as it does in Azure.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from bridge.blobs import (
    BlobChanged,
    BlobProperties,
    Blobs,
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
)
from bridge.checksums import Piece, crc64
from bridge.layout import EMPTY_MARKER, KEEP_ALIVE, MIB, BlockId
from bridge.memory_blobs import MemoryBlobs
from tests.support.azure import azure_blobs

NAME = "t-1/cashflows/part-00000"
KIND = "application/x-test"


@pytest.fixture(params=["memory", "azure", "azure-crc64"])
async def absent(request: pytest.FixtureRequest) -> AsyncIterator[Blobs]:
    """Storage whose container does not exist."""
    if request.param == "memory":
        yield MemoryBlobs(created=False)
        return
    connection_string: str = request.getfixturevalue("blob_connection_string")
    async with azure_blobs(connection_string, integrity="crc64" if request.param == "azure-crc64" else None) as blobs:
        yield blobs


@pytest.fixture
async def blobs(absent: Blobs) -> Blobs:
    """Storage with an empty container of its own."""
    await absent.create_container()
    return absent


def block_of(body: bytes, ordinal: int = 1, sub: int = 0, nsub: int = 1) -> BlockId:
    return BlockId(9, ordinal, 1, sub, nsub, crc64([body]))


async def stage(blobs: Blobs, body: bytes, ordinal: int = 1) -> BlockId:
    block = block_of(body, ordinal)
    await blobs.stage_block(NAME, block, [body])
    return block


async def commit(blobs: Blobs, *blocks: BlockId, who: str = "me") -> Committed | Exists:
    return await blobs.commit(NAME, blocks, content_type=KIND, metadata={"who": who})


async def write(blobs: Blobs, body: bytes, name: str = NAME) -> Committed | Exists:
    return await blobs.write_once(name, body, content_type=KIND, metadata={})


async def content(blobs: Blobs) -> bytes:
    found = await blobs.read(NAME)
    assert found is not None
    return found.body


async def delete(blobs: Blobs) -> None:
    there = await blobs.properties(NAME)
    assert there is not None
    assert await blobs.delete(NAME, there.etag) is Deletion.DELETED


async def listed(blobs: Blobs, prefix: str = "", limit: int = 5_000) -> list[Listed]:
    """The whole list, page by page."""
    found: list[Listed] = []
    after: str | None = None
    for _ in range(100):
        page = await blobs.page(prefix, after=after, limit=limit)
        assert len(page.blobs) <= limit
        found += page.blobs
        if (after := page.after) is None:
            return found
    raise AssertionError("the list has no end")


# The container


async def test_the_container_is_made_once(absent: Blobs) -> None:
    assert await absent.create_container()
    assert not await absent.create_container()


async def test_without_a_container_nothing_looks_like_an_absent_blob(absent: Blobs) -> None:
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: absent.properties(NAME),
        lambda: absent.read(NAME),
        lambda: absent.uncommitted(NAME),
        lambda: stage(absent, b"x"),
        lambda: commit(absent),
        lambda: write(absent, b"x"),
        lambda: anext(absent.stream(NAME, "0x1")),
        lambda: absent.page(),
        lambda: absent.delete(NAME, "0x1"),
    ]
    for attempt in attempts:
        with pytest.raises(BlobsRefused, match="brh setup"):
            await attempt()


# Staging


async def test_blocks_are_listed_with_their_sizes(blobs: Blobs) -> None:
    one, two = await stage(blobs, b"one", 1), await stage(blobs, b"second", 2)
    assert sorted(await blobs.uncommitted(NAME)) == [Block(one, 3), Block(two, 6)]


async def test_a_blob_of_which_nothing_is_known_has_no_blocks(blobs: Blobs) -> None:
    assert await blobs.uncommitted(NAME) == []


async def test_the_same_block_again_changes_nothing(blobs: Blobs) -> None:
    block = await stage(blobs, b"same")
    assert await stage(blobs, b"same") == block
    assert await blobs.uncommitted(NAME) == [Block(block, 4)]


async def test_other_content_for_the_same_ordinal_stands_beside_the_first(blobs: Blobs) -> None:
    first, other = await stage(blobs, b"first"), await stage(blobs, b"other")
    assert first != other
    assert {block.id for block in await blobs.uncommitted(NAME)} == {first, other}
    await commit(blobs, first)
    assert await content(blobs) == b"first"


async def test_pieces_are_put_together_in_order(blobs: Blobs) -> None:
    body = random.Random(7).randbytes(3 * MIB + 17)
    pieces: list[Piece] = [body[:1], memoryview(body)[1 : 2 * MIB], memoryview(body)[2 * MIB :], b""]
    block = BlockId(9, 1, 1, 0, 1, crc64([body]))
    await blobs.stage_block(NAME, block, pieces)
    await commit(blobs, block)
    assert await content(blobs) == body


async def test_bytes_that_are_not_those_of_the_id_are_not_stored(blobs: Blobs) -> None:
    with pytest.raises(BlobsUnavailable):
        await blobs.stage_block(NAME, block_of(b"meant"), [b"other"])
    assert await blobs.uncommitted(NAME) == []


async def test_an_empty_block_is_an_error_of_the_caller(blobs: Blobs) -> None:
    with pytest.raises(ValueError, match="empty"):
        await blobs.stage_block(NAME, block_of(b""), [b"", b""])
    assert await blobs.uncommitted(NAME) == []


async def test_what_is_only_staged_is_not_there(blobs: Blobs) -> None:
    await stage(blobs, b"x")
    assert await blobs.properties(NAME) is None
    assert await blobs.read(NAME) is None
    with pytest.raises(BlobChanged):
        await anext(blobs.stream(NAME, "0x1"))


async def test_staging_on_a_committed_blob_is_invisible(blobs: Blobs) -> None:
    await commit(blobs, await stage(blobs, b"whole"))
    before = await blobs.properties(NAME)
    late = await stage(blobs, b"late", 2)
    assert await blobs.properties(NAME) == before
    assert await content(blobs) == b"whole"
    assert await blobs.uncommitted(NAME) == [Block(late, 4)]


async def test_a_block_that_only_keeps_alive_is_no_block_of_the_blob(blobs: Blobs) -> None:
    for _ in range(2):
        await blobs.stage_block(NAME, KEEP_ALIVE, [EMPTY_MARKER])
    assert await blobs.uncommitted(NAME) == []
    block = await stage(blobs, b"x")
    assert await blobs.uncommitted(NAME) == [Block(block, 1)]
    await commit(blobs, block)
    assert await content(blobs) == b"x"


# Commit


async def test_the_list_decides_the_order_whatever_the_order_of_arrival(blobs: Blobs) -> None:
    ordinals = list(range(1, 21))
    random.Random(3).shuffle(ordinals)
    staged = {n: await stage(blobs, f"<{n}>".encode(), n) for n in ordinals}
    await commit(blobs, *(staged[n] for n in range(1, 21)))
    assert await content(blobs) == "".join(f"<{n}>" for n in range(1, 21)).encode()


async def test_only_what_is_listed_is_taken_and_the_rest_is_dropped(blobs: Blobs) -> None:
    one, _, three = [await stage(blobs, body, n) for n, body in enumerate([b"one", b"two", b"three"], 1)]
    await commit(blobs, three, one)
    assert await content(blobs) == b"threeone"
    assert await blobs.uncommitted(NAME) == []


async def test_a_commit_says_what_was_made(blobs: Blobs) -> None:
    done = await commit(blobs, await stage(blobs, b"12345"))
    assert isinstance(done, Committed)
    assert done.size == 5
    assert done.etag
    assert '"' not in done.etag
    assert await blobs.properties(NAME) == BlobProperties(5, done.etag, KIND, {"who": "me"})


async def test_the_second_commit_finds_the_first(blobs: Blobs) -> None:
    block = await stage(blobs, b"first")
    done = await commit(blobs, block)
    assert isinstance(done, Committed)
    again = await commit(blobs, block, who="other")
    assert again == Exists(BlobProperties(5, done.etag, KIND, {"who": "me"}))
    assert await content(blobs) == b"first"


async def test_of_racing_committers_one_wins_and_the_others_see_it(blobs: Blobs) -> None:
    staged = [await stage(blobs, f"<{n}>".encode(), n) for n in range(8)]
    done = await asyncio.gather(*(commit(blobs, staged[n], who=str(n)) for n in range(8)))
    won = [n for n, result in enumerate(done) if isinstance(result, Committed)]
    assert len(won) == 1
    assert [result.there.metadata for result in done if isinstance(result, Exists)] == [{"who": str(won[0])}] * 7
    assert await content(blobs) == f"<{won[0]}>".encode()


async def test_a_missing_block_fails_the_commit_and_keeps_the_others(blobs: Blobs) -> None:
    here = await stage(blobs, b"here")
    with pytest.raises(MissingBlocks, match=NAME):
        await commit(blobs, here, block_of(b"elsewhere", 2))
    assert await blobs.properties(NAME) is None
    assert await blobs.uncommitted(NAME) == [Block(here, 4)]
    assert isinstance(await commit(blobs, here), Committed)


async def test_a_fence_makes_every_later_commit_fail(blobs: Blobs) -> None:
    block = await stage(blobs, b"abandoned")
    fence = await commit(blobs, who="fence")
    assert isinstance(fence, Committed)
    assert fence.size == 0
    assert await blobs.uncommitted(NAME) == []
    late = await commit(blobs, block)
    assert isinstance(late, Exists)
    assert late.there.metadata == {"who": "fence"}
    assert await content(blobs) == b""


@pytest.mark.parametrize("metadata", [{"Upper": "x"}, {"a-b": "x"}, {"a": ""}, {"a": " x"}, {"a": "ä"}, {"a": "x\ny"}])
async def test_metadata_that_would_not_arrive_as_sent_is_an_error_of_the_caller(
    blobs: Blobs, metadata: dict[str, str]
) -> None:
    block = await stage(blobs, b"x")
    with pytest.raises(ValueError, match="metadata"):
        await blobs.commit(NAME, [block], content_type=KIND, metadata=metadata)
    with pytest.raises(ValueError, match="metadata"):
        await blobs.write_once("t-1/_header.json", b"{}", content_type=KIND, metadata=metadata)
    assert await blobs.properties(NAME) is None


# Records


async def test_a_record_is_written_once(blobs: Blobs) -> None:
    done = await blobs.write_once(NAME, b"first", content_type=KIND, metadata={"digest": "a b"})
    assert isinstance(done, Committed)
    assert done.size == 5
    assert '"' not in done.etag
    again = await write(blobs, b"second!")
    assert again == Exists(BlobProperties(5, done.etag, KIND, {"digest": "a b"}))
    assert await blobs.read(NAME) == Content(b"first", done.etag, {"digest": "a b"})


async def test_of_racing_writers_one_wins(blobs: Blobs) -> None:
    done = await asyncio.gather(*(write(blobs, f"<{n}>".encode()) for n in range(8)))
    won = [n for n, result in enumerate(done) if isinstance(result, Committed)]
    assert len(won) == 1
    assert await content(blobs) == f"<{won[0]}>".encode()


async def test_an_empty_record_can_be_read(blobs: Blobs) -> None:
    await write(blobs, b"")
    assert await content(blobs) == b""


async def test_a_record_is_bounded(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.blob_limits.RECORD_MAX_BYTES", 10)
    await write(blobs, b"x" * 10)
    with pytest.raises(ValueError, match="11 bytes"):
        await write(blobs, b"x" * 11, "t-1/other")


# Reading


async def test_what_is_not_there_is_none(blobs: Blobs) -> None:
    assert await blobs.read(NAME) is None
    assert await blobs.properties(NAME) is None


async def test_reading_is_bounded(blobs: Blobs) -> None:
    await write(blobs, b"12345")
    found = await blobs.read(NAME, max_bytes=5)
    assert found is not None
    assert found.body == b"12345"
    with pytest.raises(BlobTooLarge, match="5 bytes, more than 4"):
        await blobs.read(NAME, max_bytes=4)


@pytest.mark.parametrize(("size", "chunks"), [(0, []), (1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (30, [10] * 3)])
async def test_a_blob_streams_in_chunks(blobs: Blobs, size: int, chunks: list[int]) -> None:
    body = random.Random(size).randbytes(size)
    done = await write(blobs, body)
    assert isinstance(done, Committed)
    got = [chunk async for chunk in blobs.stream(NAME, done.etag, chunk_bytes=10)]
    assert [len(chunk) for chunk in got] == chunks
    assert b"".join(got) == body


async def test_a_stream_of_another_version_does_not_start(blobs: Blobs) -> None:
    await write(blobs, b"x")
    with pytest.raises(BlobChanged, match="0x1234"):
        await anext(blobs.stream(NAME, "0x1234"))


async def test_a_stream_never_mixes_versions(blobs: Blobs) -> None:
    done = await write(blobs, b"a" * 20)
    assert isinstance(done, Committed)
    async with aclosing(blobs.stream(NAME, done.etag, chunk_bytes=10)) as chunks:
        assert await anext(chunks) == b"a" * 10
        await delete(blobs)
        await write(blobs, b"b" * 20)
        with pytest.raises(BlobChanged):
            await anext(chunks)


async def test_a_stream_of_a_blob_that_vanishes_fails(blobs: Blobs) -> None:
    done = await write(blobs, b"a" * 20)
    assert isinstance(done, Committed)
    async with aclosing(blobs.stream(NAME, done.etag, chunk_bytes=10)) as chunks:
        await anext(chunks)
        await delete(blobs)
        with pytest.raises(BlobChanged):
            await anext(chunks)


@pytest.mark.parametrize("chunk_bytes", [0, 8 * MIB + 1])
async def test_a_chunk_is_bounded(blobs: Blobs, chunk_bytes: int) -> None:
    with pytest.raises(ValueError, match="chunk_bytes"):
        await anext(blobs.stream(NAME, "0x1", chunk_bytes=chunk_bytes))


async def test_many_megabytes_survive_staging_and_both_ways_of_reading(blobs: Blobs) -> None:
    body = os.urandom(19 * MIB + 1)
    parts = [body[:MIB], body[MIB : 10 * MIB], body[10 * MIB :]]
    blocks = [block_of(part, n) for n, part in enumerate(parts, 1)]
    await asyncio.gather(*(blobs.stage_block(NAME, block, [part]) for block, part in zip(blocks, parts, strict=True)))
    done = await commit(blobs, *blocks)
    assert isinstance(done, Committed)
    assert done.size == len(body)
    assert await content(blobs) == body
    chunks = [chunk async for chunk in blobs.stream(NAME, done.etag)]
    assert [len(chunk) for chunk in chunks] == [8 * MIB, 8 * MIB, 3 * MIB + 1]
    assert b"".join(chunks) == body


# Lists


async def test_a_list_has_what_is_below_its_prefix_in_order(blobs: Blobs) -> None:
    for name in ("T10/x", "T1/b/part-00000", "t1/x", "T1/_header.json", "T1-x/x", "T1/a", "T1.x/x"):
        await write(blobs, b"123", name)
    assert [blob.name for blob in await listed(blobs, "T1/")] == ["T1/_header.json", "T1/a", "T1/b/part-00000"]
    assert [blob.name for blob in await listed(blobs)] == [
        "T1-x/x", "T1.x/x", "T1/_header.json", "T1/a", "T1/b/part-00000", "T10/x", "t1/x",
    ]  # fmt: skip
    assert await listed(blobs, "T2/") == []


async def test_a_list_shows_what_properties_show_and_when_it_was_written(blobs: Blobs) -> None:
    done = await blobs.write_once(NAME, b"12345", content_type=KIND, metadata={"who": "me", "digest": "a b"})
    assert isinstance(done, Committed)
    (blob,) = await listed(blobs)
    assert blob.modified is not None
    assert abs(blob.modified - datetime.now(UTC)) < timedelta(minutes=2)
    assert blob == Listed(NAME, 5, done.etag, blob.modified, {"who": "me", "digest": "a b"})
    assert not blob.bare


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_cover_a_list_without_a_gap_and_without_repetition(blobs: Blobs, limit: int) -> None:
    names = [f"T1/{n}" for n in range(7)]
    for name in names[::2]:
        await write(blobs, b"x", name)
    for name in names[1::2]:
        await blobs.stage_block(name, block_of(b"x"), [b"x"])
    assert [blob.name for blob in await listed(blobs, "T1/", limit)] == names


@pytest.mark.parametrize("limit", [0, 5_001])
async def test_a_page_is_bounded(blobs: Blobs, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        await blobs.page(limit=limit)


async def test_what_is_only_staged_is_listed_bare_and_has_no_properties(blobs: Blobs) -> None:
    await stage(blobs, b"staged", 1)
    await stage(blobs, b"as well", 2)
    (blob,) = await listed(blobs)
    assert (blob.name, blob.size, blob.metadata, blob.bare) == (NAME, 0, {}, True)
    assert await blobs.properties(NAME) is None


async def test_an_empty_blob_is_bare_only_without_metadata(blobs: Blobs) -> None:
    await blobs.commit("T1/a", [], content_type=KIND, metadata={})
    await blobs.commit("T1/b", [], content_type=KIND, metadata={"who": "me"})
    assert [(blob.name, blob.bare) for blob in await listed(blobs)] == [("T1/a", True), ("T1/b", False)]


async def test_what_is_staged_on_a_committed_blob_is_not_listed(blobs: Blobs) -> None:
    await commit(blobs, await stage(blobs, b"whole"))
    before = await listed(blobs)
    await stage(blobs, b"late", 2)
    assert await listed(blobs) == before


# Deletion


async def test_a_version_is_deleted_once(blobs: Blobs) -> None:
    done = await commit(blobs, await stage(blobs, b"whole"))
    assert isinstance(done, Committed)
    assert await blobs.delete(NAME, done.etag) is Deletion.DELETED
    assert await blobs.properties(NAME) is None
    assert await listed(blobs) == []
    assert await blobs.delete(NAME, done.etag) is Deletion.ABSENT


async def test_of_racing_deletions_one_deletes_and_the_others_find_nothing(blobs: Blobs) -> None:
    done = await commit(blobs, await stage(blobs, b"whole"))
    assert isinstance(done, Committed)
    answers = await asyncio.gather(*(blobs.delete(NAME, done.etag) for _ in range(8)))
    assert answers.count(Deletion.DELETED) == 1
    assert answers.count(Deletion.ABSENT) == 7


async def test_another_version_stays(blobs: Blobs) -> None:
    await commit(blobs, await stage(blobs, b"whole"))
    assert await blobs.delete(NAME, "0x1234") is Deletion.CHANGED
    assert await content(blobs) == b"whole"


async def test_what_is_only_staged_is_absent_and_stays(blobs: Blobs) -> None:
    block = await stage(blobs, b"staged")
    (blob,) = await listed(blobs)
    assert await blobs.delete(NAME, blob.etag) is Deletion.ABSENT
    assert await blobs.uncommitted(NAME) == [Block(block, 6)]


async def test_what_is_staged_on_a_blob_is_seen_no_more_when_that_is_deleted(blobs: Blobs) -> None:
    done = await commit(blobs, await stage(blobs, b"whole"))
    assert isinstance(done, Committed)
    await stage(blobs, b"late", 2)
    assert await blobs.delete(NAME, done.etag) is Deletion.DELETED
    assert await blobs.uncommitted(NAME) == []
    assert await listed(blobs) == []


async def test_behind_a_fence_that_is_gone_nothing_staged_before_can_be_committed(blobs: Blobs) -> None:
    block = await stage(blobs, b"abandoned")
    fence = await commit(blobs)
    assert isinstance(fence, Committed)
    assert await blobs.delete(NAME, fence.etag) is Deletion.DELETED
    with pytest.raises(MissingBlocks):
        await commit(blobs, block)
    assert await listed(blobs) == []


async def test_a_name_that_was_deleted_can_be_written_again(blobs: Blobs) -> None:
    done = await write(blobs, b"first")
    assert isinstance(done, Committed)
    await delete(blobs)
    again = await write(blobs, b"second")
    assert isinstance(again, Committed)
    assert await blobs.delete(NAME, done.etag) is Deletion.CHANGED
    assert await content(blobs) == b"second"


def test_an_address_ends_with_the_name(absent: Blobs) -> None:
    assert absent.uri(NAME).endswith("/" + NAME)
