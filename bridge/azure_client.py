"""The connection to an Azure storage account or its emulator."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import DefaultAzureCredential
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry
from yarl import URL

from bridge.blobs import RANGE_MAX_BYTES, RECORD_MAX_BYTES
from bridge.settings import BlobSettings, SettingsError

CONNECT_TIMEOUT_S: Final = 20
READ_TIMEOUT_S: Final = 60
IDLE_CONNECTION_S: Final = 4
"""Below the 5 s after which the emulator closes one, so that a request rarely meets a closed connection."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_EMULATED_ACCOUNT = "devstoreaccount1"


async def connect(
    settings: BlobSettings, retry: ExponentialRetry, connections_max: int, opening: AsyncExitStack
) -> BlobServiceClient:
    """A client that `opening` closes, with everything below it. Raises SettingsError."""
    session = await opening.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=IDLE_CONNECTION_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # the SDK does that
            trust_env=True,
        )
    )
    # Given to the transport and not to the client, which ignores its own timeouts when it is handed a transport.
    transport = AioHttpTransport(
        session=session, session_owner=False, connection_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S
    )
    if settings.blob_connection_string:
        try:
            service = BlobServiceClient.from_connection_string(
                settings.blob_connection_string.get_secret_value(),
                api_version=settings.blob_api_version,
                retry_policy=retry,
                transport=transport,
                max_single_put_size=RECORD_MAX_BYTES,
                max_single_get_size=RANGE_MAX_BYTES,
                max_chunk_get_size=RANGE_MAX_BYTES,
            )
        except ValueError:
            # The SDK's text could quote the string, which holds a key.
            raise SettingsError("BRH_BLOB_CONNECTION_STRING: not a storage connection string") from None
    else:
        service = BlobServiceClient(
            str(settings.blob_account_url),
            await opening.enter_async_context(DefaultAzureCredential()),
            api_version=settings.blob_api_version,
            retry_policy=retry,
            transport=transport,
            max_single_put_size=RECORD_MAX_BYTES,
            max_single_get_size=RANGE_MAX_BYTES,
            max_chunk_get_size=RANGE_MAX_BYTES,
        )
    return await opening.enter_async_context(service)


def is_emulator(url: str) -> bool:
    """Whether the account's URL is that of an emulator."""
    parsed = URL(url)
    return parsed.host in _LOOPBACK or _EMULATED_ACCOUNT in parsed.parts
