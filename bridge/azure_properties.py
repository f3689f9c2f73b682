"""What Azure tells of a blob without its bytes, in our words."""

from __future__ import annotations

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobProperties as SdkProperties
from azure.storage.blob.aio import BlobClient

from bridge.azure_errors import is_absent
from bridge.blobs import BlobProperties


async def head(blob: BlobClient) -> BlobProperties | None:
    """Get Blob Properties; None when the blob is not there, or not committed. Raises what the SDK raises."""
    try:
        return in_our_words(await blob.get_blob_properties())
    except HttpResponseError as error:
        if not is_absent(error):
            raise
        return None


def in_our_words(found: SdkProperties) -> BlobProperties:
    """The properties that we look at."""
    return BlobProperties(
        size=found.size,
        etag=unquoted(found.etag),
        content_type=found.content_settings.content_type or "",
        metadata=dict(found.metadata or {}),
    )


def unquoted(etag: str) -> str:
    """The ETag as it is everywhere in the product."""
    return etag.strip('"')


def quoted(etag: str) -> str:
    """The ETag as a condition needs it."""
    return f'"{etag}"'
