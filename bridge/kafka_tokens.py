"""Tokens with which Kafka lets us in by OAUTHBEARER: from a file that somebody renews, or from an endpoint of OAuth 2.

Kafka's clients ask for a token whenever they connect, from any event loop: Faust's consumer has one of its own. So
nothing here belongs to a loop; at worst two connections that begin at once ask twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

TOKEN_MAX_BYTES: Final = 64 << 10
"""Of a token, and of the answer that one comes in. Real ones have a few KiB."""
USED_SHARE: Final = 0.8
"""Of a token's life: after that another one is asked for, so that none ends on its way to a broker."""
_VISIBLE: Final = re.compile(r"[!-~]+")
"""Anything else in a token would be more than a token in the message that it is sent in."""


class _Answer(msgspec.Struct, frozen=True):
    """What RFC 6749 says of an access token; whatever else is in it is of no use to us."""

    access_token: str
    expires_in: float = 0.0


class FileToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Reads the file for every connection: who renews it, Kubernetes for instance, puts another one in its place."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def token(self) -> str:
        """What is in the file now. Raises KafkaConnectionError."""
        try:
            with self._file.open("rb") as opened:
                return _checked(opened.read(TOKEN_MAX_BYTES + 1).strip().decode("ascii"))
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is no token"
            raise KafkaConnectionError(f"BRH_KAFKA_SECURITY_TOKEN_FILE: cannot be used ({said})") from None


class EndpointToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Asks for a token with our own name and password (client credentials), and keeps it for most of its life."""

    def __init__(
        self,
        url: str,
        client: tuple[str, str],
        *,
        scope: str,
        timeout_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client`: its id and its secret; an empty `scope` is left out."""
        self._url = url
        self._client = client
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._now_s = now_s
        self._kept: tuple[str, float] | None = None
        """A token, and until when it is used."""

    async def token(self) -> str:
        """The one that is kept, or another one. Raises KafkaConnectionError, which shows no secret."""
        if self._kept is not None and self._now_s() < self._kept[1]:
            return self._kept[0]
        asked_s = self._now_s()
        try:
            answer = await self._ask()
            token = _checked(answer.access_token)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            said = f"status {error.status}" if isinstance(error, aiohttp.ClientResponseError) else type(error).__name__
            raise KafkaConnectionError(f"BRH_KAFKA_SECURITY_TOKEN_URL: gave no token ({said})") from None
        self._kept = token, asked_s + USED_SHARE * answer.expires_in
        return token

    async def _ask(self) -> _Answer:
        identity = {"Authorization": aiohttp.encode_basic_auth(*self._client)}
        async with (
            aiohttp.ClientSession(timeout=self._timeout, headers=identity) as session,
            # Nobody is followed anywhere with our secret.
            session.post(self._url, data=self._form, allow_redirects=False, raise_for_status=True) as response,
        ):
            if response.status != 200:
                raise ValueError("it leads elsewhere")
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > TOKEN_MAX_BYTES:
                    raise ValueError("its answer is too long")
        return msgspec.json.decode(body, type=_Answer)


def _checked(token: str) -> str:
    if len(token) > TOKEN_MAX_BYTES or not _VISIBLE.fullmatch(token):
        raise ValueError("no token")
    return token
