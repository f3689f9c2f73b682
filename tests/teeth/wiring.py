"""Bugs of the adapters: what is asked of RabbitMQ and of storage. Found on the real services."""

from __future__ import annotations

from typing import Any

from aio_pika.exchange import Exchange
from azure.storage.blob.aio import BlobClient

from bridge import azure_blobs
from bridge.layout import BlockId
from tests.teeth.bugs import Put, bug


@bug("edges/test_post.py::test_a_missing_queue_of_orphans_is_a_refusal_and_nobody_is_told", stack=True)
def unmandatory_publish(put: Put) -> None:
    """A notification is published without `mandatory`, so the broker confirms what no queue takes."""
    publish = Exchange.publish

    async def anyhow(self: Any, *args: Any, **options: Any) -> Any:
        return await publish(self, *args, **{**options, "mandatory": False})

    put(Exchange, "publish", anyhow)


@bug("edges/test_blobs.py::test_the_second_commit_finds_the_first[azure]", stack=True)
def unconditional_commit(put: Put) -> None:
    """Blocks are committed without `If-None-Match: *`: whoever comes last wins."""
    commit = BlobClient.commit_block_list

    async def over(self: Any, *args: Any, **options: Any) -> Any:
        options.pop("match_condition", None)
        return await commit(self, *args, **options)

    put(BlobClient, "commit_block_list", over)


@bug("edges/test_blobs.py::test_other_content_for_the_same_ordinal_stands_beside_the_first[azure]", stack=True)
def no_digest_in_id(put: Put) -> None:
    """A block is named by its place alone, so other bytes for an ordinal take the place of the first ones."""
    stage = azure_blobs.AzureBlobs._blob

    def named(self: Any, name: str) -> Any:
        return _ByPlace(stage(self, name))

    put(azure_blobs.AzureBlobs, "_blob", named)


class _ByPlace:
    """A blob whose blocks have no checksum in their ids."""

    def __init__(self, blob: Any) -> None:
        self._blob = blob

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blob, name)

    async def stage_block(self, block: str, *args: Any, **options: Any) -> Any:
        found = BlockId.parse(block)
        assert found is not None
        by_place = BlockId(found.total_count, found.first, found.count, found.sub, found.nsub, 0)
        return await self._blob.stage_block(str(by_place), *args, **options)
