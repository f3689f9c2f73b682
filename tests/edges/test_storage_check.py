"""Whether a container may be written to: asked of a real service, by who may and by who may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.storage.blob import generate_container_sas
from azure.storage.blob.aio import ContainerClient

from bridge import storage_check
from bridge.settings import BlobSettings


@pytest.mark.parametrize(("permissions", "status"), [("rl", "fail"), ("rcwl", "ok")])
async def test_who_may_write_is_known_and_nothing_was_written(
    blob_connection_string: str, permissions: str, status: str
) -> None:
    name = f"t{uuid4().hex[:10]}"
    entries = dict(each.partition("=")[::2] for each in blob_connection_string.split(";"))
    until = datetime.now(UTC) + timedelta(hours=1)
    signature = generate_container_sas(
        entries["AccountName"], name, entries["AccountKey"], permission=permissions, expiry=until
    )
    own = f"BlobEndpoint={entries['BlobEndpoint']};SharedAccessSignature={signature}"
    async with ContainerClient.from_connection_string(blob_connection_string, name) as container:
        await container.create_container()
        (check,) = await storage_check.look(BlobSettings(blob_connection_string=own, blob_container=name))
        assert (check.name, check.status) == ("storage.writing", status)
        assert [blob.name async for blob in container.list_blobs(include=["uncommittedblobs"])] == []


async def test_a_container_that_is_not_there_is_named(blob_connection_string: str) -> None:
    name = f"t{uuid4().hex[:10]}"
    (check,) = await storage_check.look(
        BlobSettings(blob_connection_string=blob_connection_string, blob_container=name)
    )
    assert (check.status, check.detail) == ("fail", f"there is no container {name}")
