"""What Azure's failures mean to us: try again later, or somebody must act."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from bridge.blobs import BlobsError, BlobsRefused, BlobsUnavailable

OPERATION_TIMEOUT_S: Final = 300
"""Of one call with all its retries. The socket limits do not cover a service that stops reading our body."""

_NO_CONTAINER: Final = "ContainerNotFound"
_DAMAGED: Final = frozenset({"Md5Mismatch", "Crc64Mismatch"})
"""The bytes changed on the way: the only 400s where the same request can succeed."""
_PASSING: Final = frozenset({408, 409, 412, 429})
"""With 5xx. 409 and 412 come here only from what is not a blob in the way: a container being deleted, a lease."""
_FULL: Final = frozenset({"BlockCountExceedsLimit"})
_NEVER: Final = frozenset({501, 505})


@asynccontextmanager
async def asking(what: str, *, timeout_s: float = OPERATION_TIMEOUT_S) -> AsyncGenerator[None]:
    """Turn whatever the SDK raises inside into BlobsUnavailable or BlobsRefused, with the original as its cause.

    Args:
        what: was asked, to continue "Blob storage could not ...".
        timeout_s: for all that happens inside.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise BlobsUnavailable(f"Blob storage did not {what} within {timeout_s:g} s: try again later") from error
    except AzureError as error:
        raise _translated(error, what) from error


def code_of(error: AzureError) -> str:
    """Azure's name of the error, such as `BlobNotFound`; empty where there was no answer."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def is_absent(error: HttpResponseError) -> bool:
    """Whether it says that the blob is not there, in a container that is."""
    return error.status_code == 404 and code_of(error) != _NO_CONTAINER


def _translated(error: AzureError, what: str) -> BlobsError:
    could_not = f"Blob storage could not {what}: {_reason(error)}"
    if code_of(error) == _NO_CONTAINER:
        return BlobsRefused(f"{could_not}: create the container with `brh setup`, or correct BRH_BLOB_CONTAINER")
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, ClientAuthenticationError) and status is None:  # nobody asked storage: there is no token
        return BlobsRefused(f"{could_not}: give this process an identity (docs/how-to/least-privilege.md)")
    if status in {401, 403}:
        return BlobsRefused(f"{could_not}: give this identity the role Storage Blob Data Contributor on the container")
    if _may_pass(status, code_of(error)):
        return BlobsUnavailable(f"{could_not}: try again later")
    return BlobsRefused(f"{could_not}: it will not help to try again, check the settings and the client's version")


def _may_pass(status: int | None, code: str) -> bool:
    if status is None or code in _DAMAGED:
        return True
    if status in _NEVER or code in _FULL:
        return False
    return status in _PASSING or status >= 500


def _reason(error: AzureError) -> str:
    """Status and code, or the first line of the SDK's text: the further lines may quote what was signed."""
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return f"{error.status_code} {code_of(error)}".strip()
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
