"""What goes wrong as a page: the same problem that the API tells, with its remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import web

from streams.answers import trouble
from streams.pages.rendering import Rendering
from streams.pages.wording import remedy
from streams.queries import Document

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

REFRESH_S = 2
"""How soon a page asks again that could not be made just now."""


def with_error_pages(handler: Handler, rendering: Rendering) -> Handler:
    """The handler, with a page for everything that it raises."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:
            document, headers = trouble(request, error)
            return error_page(rendering, document, headers)

    return guarded


def error_page(rendering: Rendering, document: Document, headers: dict[str, str]) -> web.Response:
    """The page of a problem; of one that passes it asks again by itself."""
    status = document["status"]
    passes = status == HTTPStatus.SERVICE_UNAVAILABLE
    return rendering.page(
        "error.html",
        status=status,
        headers={**headers, **({"Refresh": str(REFRESH_S)} if passes else {})},
        problem=document,
        remedy=remedy(document),
        passes=passes,
    )
