"""How people log in on the pages: with a token of the trackers, for a cookie that is made from it."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from streams.access import LOG_IN_PATH, SESSION_COOKIE, Access
from streams.bodies import body_of
from streams.pages.rendering import Rendering

_OURS: Final = re.compile(r"/(?![/\\])[!-~]{0,2000}")
"""An address on this server: one that begins with two slashes is on another."""


class LogIn:
    """The form, and what becomes of it."""

    def __init__(self, rendering: Rendering, access: Access, session_s: float) -> None:
        self._rendering = rendering
        self._access = access
        self._session_s = session_s

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """The form."""
        return self._form(request, request.query.get("next", "/"))

    async def take(self, request: web.Request) -> web.StreamResponse:
        """A token, for a session; or a session, which is given up."""
        form = dict(parse_qsl((await body_of(request)).decode("ascii", "replace")))
        if "leave" in form:
            left = web.HTTPSeeOther(LOG_IN_PATH)
            left.del_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="Lax", secure=_is_secure(request))
            raise left
        following = form.get("next", "/")
        nonce, now = secrets.token_urlsafe(24), datetime.now(UTC)
        cookie = self._access.log_in(form.get("token", "").strip(), now, self._session_s, nonce)
        if cookie is None:
            return self._form(request, following, wrong=True)
        entered = web.HTTPSeeOther(_ours(following))
        # Lax: whoever follows a link that somebody has sent them is still logged in.
        entered.set_cookie(
            SESSION_COOKIE,
            cookie,
            path="/",
            max_age=int(self._session_s),
            httponly=True,
            samesite="Lax",
            secure=_is_secure(request),
        )
        raise entered

    def _form(self, request: web.Request, following: str, *, wrong: bool = False) -> web.Response:
        return self._rendering.page(
            request,
            "log_in.html",
            status=401 if wrong else 200,
            wrong=wrong,
            guarded=self._access.guarded,
            following=_ours(following),
        )


def _ours(address: str) -> str:
    return address if _OURS.fullmatch(address) else "/"


def _is_secure(request: web.Request) -> bool:
    return request.secure or request.headers.get("X-Forwarded-Proto") == "https"
