"""Blob storage: who may read the container, what an account does with what is overwritten, and whose clock is right."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import msgspec
from azure.core.exceptions import AzureError, HttpResponseError

from bridge.azure_client import connect, is_emulator
from bridge.azure_retry import Backoff
from bridge.check import Check, fail, ok, warn
from bridge.settings import BlobSettings
from bridge.storage_check import MAY_WRITE, NO_CONTAINER, try_to_write, writing

ANSWER_TIMEOUT_S: Final = 30.0
SKEW_WARN: Final = timedelta(seconds=5)
SKEW_MAX: Final = timedelta(minutes=15)
"""From here on Azure refuses what is signed."""
_ANSWERED: Final = "storage.answers"
_VERSION: Final = "storage.api-version"
_NO_SUCH_VERSION: Final = "InvalidHeaderValue"
"""What Azure says of an `x-ms-version` that it does not know."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out."""

    url: str
    container: str
    exists: bool
    public: str | None = None
    """How far the container can be read by everybody; None: not at all."""
    versioned: bool | None = None
    """None: nothing tells."""
    soft_delete_days: int | None = None
    """0: off. None: the account does not tell us."""
    writing: str = MAY_WRITE
    """Azure's code for a commit that can only fail."""
    skew: timedelta = timedelta(0)
    """How far our clock is ahead of the service's."""


async def examine(settings: BlobSettings) -> list[Check]:
    """Everything about storage. Raises SettingsError."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), AsyncExitStack() as opened:
            service = await connect(settings, Backoff(1), 4, opened)
            account = await _account(service, settings.blob_container)
    except (AzureError, OSError, TimeoutError) as error:
        return [refused(_code(error), settings.blob_api_version)]
    return [
        ok(_ANSWERED, "it lets us in"),
        ok(_VERSION, f"it has version {settings.blob_api_version} of the interface"),
        *judge(account),
    ]


def refused(code: str, api_version: str) -> Check:
    """What an answer means that is none."""
    if code == _NO_SUCH_VERSION:
        detail = f"it does not take our requests, which have version {api_version} of the interface"
        return fail(_VERSION, detail, "Set BRH_BLOB_API_VERSION to one that the service has.")
    variables = "BRH_BLOB_CONNECTION_STRING or BRH_BLOB_ACCOUNT_URL"
    detail = f"storage does not let us in: {code}"
    return fail(_ANSWERED, detail, f"Check that it runs, that {variables} is right, and what our identity may do.")


def judge(account: Account) -> list[Check]:
    """All that can be said of it."""
    checks = [_container(account), _clock(account.skew)]
    if account.exists:
        # Whoever asks may be an operator, who only reads.
        checks.append(writing(account.writing, account.container, needed=False))
    if is_emulator(account.url):
        detail = "this is the emulator"
        return [*checks, warn("storage.account", detail, "Use a storage account outside development.")]
    checks.append(
        ok("storage.encrypted", "https")
        if account.url.startswith("https://")
        else fail("storage.encrypted", "the connection is in the clear", "Use an https:// address.")
    )
    detail = "not known: only the account's management plane tells its lifecycle policy"
    remedy = "Compare `az storage account management-policy show` with ops/lifecycle.json: it must not be faster."
    checks.append(warn("storage.lifecycle", detail, remedy))
    if account.versioned:
        detail = "every commit of a part, and every outcome, is kept as a version as well"
        remedy = "Turn versioning off for this account, or let a lifecycle rule remove versions: results cost double."
        checks.append(warn("storage.versioning", detail, remedy))
    elif account.versioned is not None:
        checks.append(ok("storage.versioning", "off"))
    if account.soft_delete_days:
        detail = f"what is removed is kept, and paid for, for {account.soft_delete_days} more days"
        checks.append(warn("storage.soft-delete", detail, "Keep it if that is wanted; a day or two is enough for us."))
    elif account.soft_delete_days is not None:
        checks.append(ok("storage.soft-delete", "off"))
    return checks


def _container(account: Account) -> Check:
    name = "storage.container"
    if not account.exists:
        return fail(name, f"there is no container {account.container}", "Run `brh setup`.")
    if account.public:
        detail = f"everybody may read container {account.container} ({account.public})"
        return fail(name, detail, "Set its public access level to private.")
    return ok(name, f"{account.container} is there, and private")


def _clock(skew: timedelta) -> Check:
    seconds = skew.total_seconds()
    detail = f"our clock is {abs(seconds):.0f} s {'ahead of' if seconds >= 0 else 'behind'} the service's"
    remedy = "Let this machine's clock be set by NTP."
    if abs(skew) >= SKEW_MAX:
        return fail("storage.clock", f"{detail}, and requests are refused from 15 minutes on", remedy)
    return warn("storage.clock", detail, remedy) if abs(skew) > SKEW_WARN else ok("storage.clock", detail)


async def _account(service: Any, container: str) -> Account:
    client = service.get_container_client(container)
    said: dict[str, str] = {}
    began = datetime.now(UTC)
    exists, public = True, None
    try:
        found = await client.get_container_properties(
            raw_response_hook=lambda answer: said.update(_lower(answer.http_response.headers))
        )
        public = found.public_access
    except HttpResponseError as error:
        if error.status_code != 404 or error.response is None:
            raise
        said.update(_lower(cast("Any", error.response).headers))
        exists = False
    middle = began + (datetime.now(UTC) - began) / 2
    emulated = is_emulator(service.url)
    return Account(
        url=service.url,
        container=container,
        exists=exists,
        public=public,
        versioned=None if emulated or not exists else await _versioned(service, container),
        soft_delete_days=None if emulated else await _soft_delete_days(service),
        writing=await try_to_write(client) if exists else NO_CONTAINER,
        skew=middle - parsedate_to_datetime(said["date"]) if "date" in said else timedelta(0),
    )


async def _versioned(service: Any, container: str) -> bool | None:
    """Only a blob tells: one that was written with versioning on has a version. None: there is no blob yet."""
    async for blob in service.get_container_client(container).list_blobs(include=["versions"], results_per_page=1):
        return blob.version_id is not None
    return None


async def _soft_delete_days(service: Any) -> int | None:
    try:
        properties = await service.get_service_properties()
    except HttpResponseError:
        return None  # whoever may read and write blobs need not be allowed to ask this
    policy = properties.get("delete_retention_policy")
    return (policy.days or 0) if policy is not None and policy.enabled else 0


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _code(error: BaseException) -> str:
    # Not the SDK's text: it may quote the request, and that has a signature.
    found = getattr(error, "error_code", None) or getattr(error, "status_code", None)
    return str(getattr(found, "value", found) or type(error).__name__)
