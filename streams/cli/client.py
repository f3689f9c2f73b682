"""The HTTP API as the command line sees it: an object, or an error with a remedy and an exit code."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

from bridge.quoting import quoted
from bridge.settings import load
from bridge.unreadable import UNREADABLE
from streams.access import Access, Scope
from streams.api_settings import ApiTokens
from streams.cli.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_NOT_READY, EXIT_USAGE, CliError
from streams.commands import KEY_HEADER, USER_HEADER
from streams.remedies import remedy, remedy_of_answer

TIMEOUT_S: Final = 15.0
TOO_MANY_PAUSE_S: Final = 1.0
"""Longer than any bucket of the API takes to hold a request again."""

_UNKNOWN_TRANSACTION: Final = "unknown-transaction"
_TRANSACTIONS: Final = "/v1/transactions/"
_TAKEN: Final = frozenset({200, 202})
_EXIT_CODES: Final = {400: EXIT_USAGE, 404: EXIT_NOT_FOUND, 429: EXIT_NOT_READY, 503: EXIT_NOT_READY}


class Api:
    """The API of one tracker, which answers for all."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session

    async def transaction(self, transaction: str, *, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """What is known of a transaction. Raises CliError."""
        return await self._get(f"{_TRANSACTIONS}{transaction}", {}, timeout_s)

    async def gaps(self, transaction: str) -> dict[str, Any]:
        """Its missing ordinals. Raises CliError."""
        return await self._get(f"{_TRANSACTIONS}{transaction}/gaps", {}, TIMEOUT_S)

    async def explanation(self, transaction: str) -> dict[str, Any]:
        """Why it is not done yet. Raises CliError."""
        return await self._get(f"{_TRANSACTIONS}{transaction}/explain", {}, TIMEOUT_S)

    async def transactions(self, params: dict[str, str], *, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """One page of the list. Raises CliError."""
        return await self._get("/v1/transactions", params, timeout_s)

    async def version(self) -> dict[str, Any]:
        """Of the tracker that was asked. Raises CliError."""
        return await self._get("/version", {}, TIMEOUT_S)

    async def command(
        self, transaction: str, action: str, members: dict[str, str], *, key: str, user: str | None
    ) -> dict[str, Any]:
        """Give a command; the same `key` again is the same command. Raises CliError."""
        headers = {KEY_HEADER: key} | ({} if user is None else {USER_HEADER: user})
        path = f"{_TRANSACTIONS}{transaction}/{action}"
        return await self._ask("POST", path, TIMEOUT_S, json=members, headers=headers)

    async def _get(self, path: str, params: dict[str, str], timeout_s: float) -> dict[str, Any]:
        return await self._ask("GET", path, timeout_s, params=params)

    async def _ask(self, method: str, path: str, timeout_s: float, **options: Any) -> dict[str, Any]:
        try:
            status, body = await self._patient(method, path, timeout_s, options)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            remedy = "Set it to something like http://127.0.0.1:6066."
            raise CliError(
                f"BRH_API_URL is {quoted(self._url)}, no URL", code="bad-settings", remedy=remedy, exit_code=EXIT_USAGE
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self._url, _reason(error)) from None
        document = _object(body)
        other_404 = status == 404 and document is not None and document.get("code") != _UNKNOWN_TRANSACTION
        if document is None or other_404:
            raise unreachable(self._url, f"status {status}, as if something else listened there")
        if status not in _TAKEN:
            raise refused(status, document, path.removeprefix(_TRANSACTIONS).split("/")[0])
        return document

    async def _patient(self, method: str, path: str, timeout_s: float, options: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body; as long as we ask for too much, again when we may."""
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        until_s = time.monotonic() + timeout_s
        while True:
            async with self._session.request(
                method, self._url + path, timeout=timeout, allow_redirects=False, **options
            ) as response:
                body = await response.read()
            if response.status != HTTPStatus.TOO_MANY_REQUESTS or time.monotonic() > until_s:
                return response.status, body
            await asyncio.sleep(TOO_MANY_PAUSE_S)


def unreachable(url: str, reason: str) -> CliError:
    """Nobody answered."""
    remedy = "Start a tracker (`brh run`), or set BRH_API_URL to one."
    return CliError(
        f"The API at {url} does not answer: {reason}", code="api-unreachable", remedy=remedy, exit_code=EXIT_NOT_READY
    )


def refused(status: int, problem: dict[str, Any], transaction: str = "TXN") -> CliError:
    """The API answered with a problem document, when it was asked for a transaction."""
    said = str(problem.get("detail") or problem.get("title") or f"status {status}")
    code = str(problem.get("code", status))
    return CliError(
        said.rstrip("."),
        code=code,
        # A tracker of a later release knows what helps against a code that is not known here.
        remedy=remedy(code, transaction) or str(problem.get("remedy") or remedy_of_answer(code, status, transaction)),
        exit_code=_EXIT_CODES.get(status, EXIT_FAILED),
    )


def _reason(error: Exception) -> str:
    # aiohttp's own sentence repeats address and TLS settings around the one word that matters.
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number and number > 0 else str(error) or type(error).__name__


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE:
        return None


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Api]:
    """The API at a URL, asked with the token of the settings; connects when it is asked something."""
    tokens = load(ApiTokens)
    headers = Access(tokens.api_read_token, tokens.api_operate_token).headers(Scope.OPERATE)
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Api(url, session)
