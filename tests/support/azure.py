"""Clients for the emulator, each with a container of its own."""

from __future__ import annotations

from uuid import uuid4

from pydantic import SecretStr

from bridge.azure_blobs import AzureBlobs
from bridge.azure_body import Integrity
from bridge.azure_retry import Backoff
from bridge.settings import BlobSettings


def unique_container() -> str:
    return f"t-{uuid4().hex}"


def endpoint(connection_string: str) -> str:
    return connection_string.partition("BlobEndpoint=")[2].partition(";")[0]


def behind(proxy_url: str, connection_string: str) -> str:
    """The same account by way of a proxy."""
    real = endpoint(connection_string)
    return connection_string.replace(real, f"{proxy_url}/{real.split('/', 3)[3]}")


def blob_settings(connection_string: str, container: str | None = None) -> BlobSettings:
    """Settings that depend on nothing but these arguments; each call has its own container unless one is named."""
    return BlobSettings(
        blob_connection_string=SecretStr(connection_string),
        blob_account_url=None,
        blob_container=container or unique_container(),
        blob_api_version="2026-06-06",
    )


def azure_blobs(
    connection_string: str, *, container: str | None = None, integrity: Integrity | None = None, attempts: int = 5
) -> AzureBlobs:
    """A client that tries `attempts` times without a pause."""
    at_once = Backoff(attempts - 1, first_s=0)
    return AzureBlobs(blob_settings(connection_string, container), retry=at_once, integrity=integrity)
