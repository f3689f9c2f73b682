"""The bodies of requests, which are read before anything is known of who sends them: small, and soon."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from streams.commands import BODY_MAX_BYTES
from streams.queries import BadParameter

BODY_TIMEOUT_S: Final = 5.0
_BODY: Final = web.RequestKey("body", bytes)


async def body_of(request: web.Request) -> bytes:
    """The body, if it is small enough; again the same.

    Raises BadParameter, and HTTPRequestTimeout when it does not come.
    """
    if _BODY not in request:
        request[_BODY] = await _read(request)
    return request[_BODY]


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            start = await request.content.readexactly(BODY_MAX_BYTES + 1)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError:
        raise BadParameter("body", b"", "what its Content-Encoding says") from None
    raise BadParameter("body", start, f"at most {BODY_MAX_BYTES} bytes")
