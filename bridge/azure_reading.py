"""A blob's bytes from Azure: whole, or a range of one version."""

from __future__ import annotations

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob.aio import BlobClient

from bridge.azure_errors import is_absent
from bridge.azure_properties import in_our_words, quoted
from bridge.blobs import BlobChanged, BlobTooLarge, Content


async def read_whole(blob: BlobClient, name: str, max_bytes: int) -> Content | None:
    """Get Blob; None when it is not there. Raises BlobTooLarge, and what the SDK raises."""
    try:
        found = await blob.download_blob()
    except HttpResponseError as error:
        if not is_absent(error):
            raise
        return None
    if found.size > max_bytes:
        raise BlobTooLarge(f"{name} has {found.size} bytes, more than {max_bytes}: stream it")
    body = await found.readall()
    properties = in_our_words(found.properties)
    return Content(body, properties.etag, properties.metadata)


async def read_range(blob: BlobClient, name: str, etag: str, offset: int, length: int) -> bytes:
    """Get Blob by range with `If-Match`. Raises BlobChanged, and what the SDK raises."""
    try:
        found = await blob.download_blob(
            offset, length, etag=quoted(etag), match_condition=MatchConditions.IfNotModified
        )
        return await found.readall()
    except HttpResponseError as error:
        if error.status_code == 412 or is_absent(error):
            raise BlobChanged(f"{name} is no longer there in version {etag}") from error
        raise
