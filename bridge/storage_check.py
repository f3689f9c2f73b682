"""Whether the container may be written to, found out without writing anything."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, BlockState
from azure.storage.blob.aio import ContainerClient

from bridge.azure_client import connect
from bridge.azure_errors import code_of
from bridge.azure_retry import Backoff
from bridge.check import Check, fail, ok, warn
from bridge.settings import BlobSettings

MAY_WRITE: Final = "InvalidBlockList"
NO_CONTAINER: Final = "ContainerNotFound"
MAY_NOT: Final = frozenset({"AuthorizationPermissionMismatch", "InsufficientAccountPermissions"})
"""What Azure says to an identity, and to a shared access signature, that it knows and that lacks the permission."""

_PROBE: Final = "_probe"
"""No transaction's name begins like this."""
_NEVER_STAGED: Final = "bmV2ZXIgc3RhZ2Vk"
_ROLE: Final = "Give this identity the role Storage Blob Data Contributor on the container."


async def look(settings: BlobSettings) -> list[Check]:
    """What a process that writes needs of storage. Raises AzureError, SettingsError."""
    async with AsyncExitStack() as opened:
        service = await connect(settings, Backoff(1), 1, opened)
        answer = await try_to_write(service.get_container_client(settings.blob_container))
    return [writing(answer, settings.blob_container)]


async def try_to_write(container: ContainerClient) -> str:
    """Azure's code for a commit that can only fail; nothing is there afterwards. Raises AzureError.

    It names a block that nobody has staged. Permissions are looked at first, so who is told of the block may write.
    """
    blob = container.get_blob_client(_PROBE)
    try:
        await blob.commit_block_list([BlobBlock(_NEVER_STAGED, state=BlockState.UNCOMMITTED)])
    except HttpResponseError as error:
        return code_of(error) or str(error.status_code)
    return "success"


def writing(answer: str, container: str, *, needed: bool = True) -> Check:
    """What the answer to such a commit means. `needed`: whoever asks has to write itself."""
    name = "storage.writing"
    if answer == MAY_WRITE:
        return ok(name, f"our identity may write to {container}")
    if answer == NO_CONTAINER:
        return fail(name, f"there is no container {container}", "Run `brh setup`, or correct BRH_BLOB_CONTAINER.")
    if answer not in MAY_NOT:
        return warn(
            name, f"not known: a commit was answered with {answer}", "Look at the account and its network rules."
        )
    detail = f"our identity may not write to {container}"
    if needed:
        return fail(name, detail, _ROLE)
    return warn(name, f"{detail}: right for who only reads, and not for bridges and deliveries", _ROLE)
