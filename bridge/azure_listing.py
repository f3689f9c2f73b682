"""A container's blobs in pages, and the deletion of those that a list has shown."""

from __future__ import annotations

from typing import cast

from azure.core import MatchConditions
from azure.core.async_paging import AsyncPageIterator
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobProperties as SdkProperties
from azure.storage.blob.aio import BlobClient, ContainerClient

from bridge.azure_properties import head, quoted, unquoted
from bridge.blobs import Deletion, Listed, Page


async def list_page(container: ContainerClient, prefix: str, after: str | None, limit: int) -> Page:
    """List Blobs, once. Raises what the SDK raises."""
    found = container.list_blobs(prefix or None, include=["uncommittedblobs", "metadata"], results_per_page=limit)
    pages = cast("AsyncPageIterator[SdkProperties]", found.by_page(after))  # by_page does not say what it returns
    # Only what is on this page is read: the iterator over all pages would go on by itself.
    blobs = [_listed(blob) async for blob in await anext(pages)]
    return Page(tuple(blobs), pages.continuation_token or None)


async def delete_version(blob: BlobClient, etag: str) -> Deletion:
    """Delete Blob with `If-Match`. Raises what the SDK raises."""
    try:
        await blob.delete_blob(
            etag=quoted(etag), match_condition=MatchConditions.IfNotModified, delete_snapshots="include"
        )
    except HttpResponseError as error:
        if error.status_code not in {404, 412}:
            raise
        # Absent is 404 in one service and 412 in another, and a lease is 412 as well: only the blob itself tells.
        there = await head(blob)
        if there is None:
            return Deletion.ABSENT
        if there.etag == etag:
            raise
        return Deletion.CHANGED
    return Deletion.DELETED


def _listed(found: SdkProperties) -> Listed:
    return Listed(
        name=found.name,
        size=found.size,
        etag=unquoted(found.etag),
        modified=found.last_modified,
        metadata=dict(found.metadata or {}),
    )
