"""What stands before every handler of the tracker's web server: who asks, how often, and from where."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from math import ceil
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from msgspec.structs import replace

from bridge.quoting import quoted
from streams import queries
from streams.access import CSRF_FIELD, CSRF_HEADER, FORGED, SESSION_COOKIE, Access, Asked, Denied, Granted
from streams.answers import Handler, Refused, asked_for
from streams.bodies import body_of
from streams.origins import is_own, is_same
from streams.rate_limit import RateLimit
from streams.routing import Routing

_FORM: Final = "application/x-www-form-urlencoded"


INTERNAL_PREFIX: Final = "/internal/"
_PROBES: Final = frozenset({"/livez", "/readyz"})

GRANTED: Final = web.RequestKey("granted", Granted)
"""What the caller may do."""


class Guards:
    """Middlewares; each raises Refused, or lets the request through."""

    def __init__(self, access: Access, routing: Routing, rate_per_s: float) -> None:
        self._access = access
        self._routing = routing
        self._limit = RateLimit(rate_per_s)

    @web.middleware
    async def rate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nobody keeps a tracker from its events by asking. Other trackers, who ask for many, are not counted."""
        if request.path not in _PROBES and not request.path.startswith(INTERNAL_PREFIX):
            self._count(request)
        return await handler(request)

    @web.middleware
    async def access(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nobody without a token gets further, if there are tokens; not even to hear what there is."""
        asked = Asked(
            request.method,
            request.path,
            request.headers.getall("Authorization", ()),
            request.cookies.get(SESSION_COOKIE),
            request.headers.get(CSRF_HEADER),
        )
        found = self._access.judge(asked, now := datetime.now(UTC))
        if found == FORGED and asked.csrf is None and request.content_type == _FORM:
            # Without scripts only the body can say it, and this is the body of somebody who has logged in.
            form = dict(parse_qsl((await body_of(request)).decode("ascii", "replace")))
            found = self._access.judge(replace(asked, csrf=form.get(CSRF_FIELD, "")), now)
        if isinstance(found, Denied):
            if request.path.startswith(INTERNAL_PREFIX):
                self._count(request)  # it is not one of us, and may be looking for a token
            headers = {"WWW-Authenticate": found.challenge} if found.challenge else {}
            detail = f"{asked_for(request)}: {found.detail}"
            raise Refused(queries.problem(found.status, found.code, found.title, detail), headers)
        request[GRANTED] = found
        return await handler(request)

    @web.middleware
    async def origin(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What changes something is not done for a web page of somebody else's, which any browser would ask it for."""
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin is not None and not self._is_own(request, origin):
            detail = f"{asked_for(request)}: a page of {quoted(origin)} asks for this, which is none of ours."
            raise Refused(queries.problem(403, "foreign-origin", "The request comes from another site", detail))
        return await handler(request)

    def _count(self, request: web.Request) -> None:
        wait_s = self._limit.wait_s(request.remote or "", time.monotonic())
        if wait_s > 0:
            detail = "One address may make BRH_API_RATE_PER_S requests a second: ask again in a second."
            document = queries.problem(429, "too-many-requests", "Too many requests", detail)
            raise Refused(document, {"Retry-After": str(ceil(wait_s))})

    def _is_own(self, request: web.Request, origin: str) -> bool:
        if is_own(origin, self._routing.me):
            return True
        # Behind a proxy we have another name. One that only points at us is of no use without a token.
        return self._access.guarded and is_same(origin, request.host, request.headers.get("Sec-Fetch-Site"))
