"""What every answer over HTTP says to browsers, of whichever process.

None of them is meant for one, but a browser can be brought to ask: it must not take data for a page, keep it, show it
in a frame, or hand it to another site.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`; a handler may have said otherwise, and of the pages some do."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.popall("Server", None)  # it names versions
