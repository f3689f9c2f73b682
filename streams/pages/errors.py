"""What goes wrong as a page: the same problem that the API tells, with its remedy."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from streams.access import LOG_IN_PATH
from streams.answers import Handler, trouble
from streams.pages.rendering import Rendering
from streams.pages.wording import remedy

REFRESH_S: Final = 2
"""How soon a page asks again that could not be made just now."""
_PASSING: Final = (429, 503)
PAGE: Final = "page"
"""How the names of the routes of pages begin."""


class ErrorPages:
    """A middleware around everything that a request for a page may fail at."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A page for what is raised; to the log-in where that helps."""
        try:
            return await handler(request)
        except Exception as error:
            if not _wants_page(request):
                raise
            document, headers = trouble(request, error)
            # A part of a page that is fetched again stays what it is, and the page says that it is not up to date.
            if document["status"] == 401 and request.method == "GET" and "HX-Request" not in request.headers:
                raise web.HTTPSeeOther(f"{LOG_IN_PATH}?{urlencode({'next': str(request.rel_url)})}") from None
            if passes := document["status"] in _PASSING:
                headers |= {"Refresh": str(REFRESH_S)}
            return self._rendering.page(
                request,
                "error.html",
                status=document["status"],
                headers=headers,
                problem=document,
                remedy=remedy(document),
                passes=passes,
            )


def _wants_page(request: web.Request) -> bool:
    """Whether a browser asks, for a page or for an address that there is not; programs get the problem itself."""
    ours = (request.match_info.route.name or "").startswith(PAGE) or request.match_info.http_exception is not None
    return ours and "text/html" in request.headers.get("Accept", "")
