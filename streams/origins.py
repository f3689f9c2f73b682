"""Which web pages may ask for something to be done: our own, and no others that a browser happens to show. Pure."""

from __future__ import annotations

from typing import Final

from yarl import URL

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_own(origin: str, own: str) -> bool:
    """Whether an `Origin` header names the server at the URL `own`.

    The request's `Host` is not asked: a page can have its own name point at us, and then the two agree.
    """
    try:
        page, server = URL(origin), URL(own)
        same_port = (page.scheme, page.port) == (server.scheme, server.port)
    except ValueError:
        return False
    return same_port and (page.host == server.host or {page.host, server.host} <= _LOOPBACK)


def is_same(origin: str, host: str, fetch_site: str | None) -> bool:
    """Whether an `Origin` is where the browser sends its request to, by the request's `Host` or `Sec-Fetch-Site`.

    Says nothing about whose name that is, so it is enough only where a token is needed as well.
    """
    page = origin.partition("://")[2].lower()
    return fetch_site == "same-origin" or (page != "" and page == host.lower())
