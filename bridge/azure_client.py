"""The connection to an Azure storage account or its emulator."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from azure.storage.blob.aio import BlobServiceClient
from yarl import URL

from bridge.azure_requests import CountedTransport
from bridge.azure_retry import Backoff
from bridge.blob_limits import RANGE_MAX_BYTES, RECORD_MAX_BYTES
from bridge.settings import BlobSettings, SettingsError

if TYPE_CHECKING:
    from azure.identity.aio import DefaultAzureCredential

CONNECT_TIMEOUT_S: Final = 20
READ_TIMEOUT_S: Final = 60
IDLE_CONNECTION_S: Final = 4
"""Below the 5 s after which the emulator closes one, so that a request rarely meets a closed connection."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_EMULATED_ACCOUNT = "devstoreaccount1"


async def connect(
    settings: BlobSettings, retry: Backoff, connections_max: int, opening: AsyncExitStack
) -> BlobServiceClient:
    """A client that `opening` closes, with everything below it. Raises SettingsError."""
    credential = None
    if not settings.blob_connection_string:
        from azure.identity.aio import DefaultAzureCredential  # here: it takes 6 MiB and is not always needed

        credential = await opening.enter_async_context(DefaultAzureCredential())
    # A first one that is never opened, because only it knows which account a connection string is for.
    account = URL(_client(settings, credential, retry).url)
    session = await opening.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=IDLE_CONNECTION_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # the SDK does that
            proxy=_proxy(account),
        )
    )
    # Limits are given to the transport: a client that is handed one ignores its own.
    transport = CountedTransport(
        session=session, session_owner=False, connection_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S
    )
    return await opening.enter_async_context(_client(settings, credential, retry, transport))


def _proxy(account: URL) -> str | None:
    """The environment's proxy for this account, looked up once.

    Left to itself, aiohttp has threads look for it at every request. They look for a password in `.netrc` too, and
    where there is one for the host, or for any, the request fails, because it is signed already.
    """
    if account.host is None or proxy_bypass(account.host):
        return None
    return getproxies().get(account.scheme)


def _client(
    settings: BlobSettings,
    credential: DefaultAzureCredential | None,
    retry: Backoff,
    transport: CountedTransport | None = None,
) -> BlobServiceClient:
    create: Callable[..., BlobServiceClient]
    if settings.blob_connection_string:
        create, address = BlobServiceClient.from_connection_string, settings.blob_connection_string.get_secret_value()
    else:
        create, address = BlobServiceClient, settings.blob_account_url or ""
    try:
        return create(
            address,
            credential,
            api_version=settings.blob_api_version,
            retry_policy=retry,
            transport=transport,
            max_single_put_size=RECORD_MAX_BYTES,
            max_single_get_size=RANGE_MAX_BYTES,
            max_chunk_get_size=RANGE_MAX_BYTES,
        )
    except ValueError as error:
        # Not as the cause: the SDK's text may quote what it was given, and that may hold a key.
        raise SettingsError(_not_understood(str(error))) from None


def _not_understood(said: str) -> str:
    if "only supported with HTTPS" in said:
        return "BRH_BLOB_ACCOUNT_URL: must begin with https://, because a token is never sent in the clear"
    wrong = "BLOB_API_VERSION" if "API version" in said else "BLOB_CONNECTION_STRING or BRH_BLOB_ACCOUNT_URL"
    return f"BRH_{wrong}: the storage client does not understand it"


def is_emulator(url: str) -> bool:
    """Whether the account's URL is that of an emulator."""
    parsed = URL(url)
    return parsed.host in _LOOPBACK or _EMULATED_ACCOUNT in parsed.parts
