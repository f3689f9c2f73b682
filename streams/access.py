"""Who may do what: bearer tokens for programs, sessions for people who have logged in on the pages. Pure.

A session is a signed cookie, and nothing of it is kept: its signature is made with the token that was given at the
log-in, so every tracker knows it, and another token in the settings ends it. The token itself is not in it. A browser
sends the cookie along with whatever asks for it, so what changes something must name the session's CSRF token as well,
which only our own pages can know.

Tokens are compared by digests and in constant time, and both of them always: how long an answer takes tells nothing.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import IntEnum
from hashlib import sha256
from typing import Final

import msgspec
from pydantic import SecretStr

LOG_IN_PATH: Final = "/login"
"""Where the pages ask for a token."""
ASSETS_PATH: Final = "/assets/"
"""Files of the pages, which hold nothing about anybody."""
SESSION_COOKIE: Final = "brh_session"
CSRF_HEADER: Final = "X-Brh-Csrf"
CSRF_FIELD: Final = "csrf"
"""Of a form, for pages without scripts."""

_OPEN: Final = frozenset({"/livez", "/readyz", "/version", LOG_IN_PATH})
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SESSION = re.compile(r"(read|operate)\.([0-9]{1,12})\.([A-Za-z0-9_-]{16,64})\.([0-9a-f]{64})")


class Scope(IntEnum):
    """What somebody may do; the greater one includes the smaller."""

    READ = 1
    OPERATE = 2


class Asked(msgspec.Struct, frozen=True):
    """What is looked at of a request."""

    method: str
    path: str
    authorization: Sequence[str] = ()
    """Values of the header of this name."""
    session: str | None = None
    """The cookie."""
    csrf: str | None = None
    """From the header or the form."""


class Granted(msgspec.Struct, frozen=True):
    """The request may go on."""

    scope: Scope | None
    """None: nobody needs a token here, and nothing is known of the caller."""


class Denied(msgspec.Struct, frozen=True):
    """The request ends with this problem."""

    status: int
    code: str
    title: str
    detail: str
    """Stands behind the request that it is about."""
    challenge: str = ""
    """The value of `WWW-Authenticate`."""


_MISSING: Final = Denied(
    401,
    "token-missing",
    "A token is needed",
    "nothing of it is told without BRH_API_READ_TOKEN or BRH_API_OPERATE_TOKEN, and none was sent.",
    'Bearer realm="brh"',
)
_WRONG: Final = Denied(
    401,
    "token-wrong",
    "The token is wrong",
    "the trackers have another BRH_API_READ_TOKEN and BRH_API_OPERATE_TOKEN than what was sent.",
    'Bearer realm="brh", error="invalid_token"',
)
_ENDED: Final = Denied(
    401,
    "session-ended",
    "The session has ended",
    "sessions end after BRH_API_SESSION_S, and with a change of the tokens.",
    'Bearer realm="brh"',
)
_READ_ONLY: Final = Denied(
    403,
    "operate-token-needed",
    "The token may only read",
    "what changes something needs what the trackers have as BRH_API_OPERATE_TOKEN.",
    'Bearer realm="brh", error="insufficient_scope"',
)
FORGED: Final = Denied(
    403, "csrf-token-wrong", "The page is not one of this session", "the page that asks was made for another session."
)
"""Somebody who has logged in may do this, but it is not sure that it is asked for by a page of ours."""


class Access:
    """The tokens of an installation; with none of them everybody may do everything."""

    def __init__(self, read: SecretStr | None, operate: SecretStr | None) -> None:
        given = {Scope.READ: read, Scope.OPERATE: operate}
        self._tokens = {scope: token for scope, token in given.items() if token is not None}

    @property
    def guarded(self) -> bool:
        """Whether there are tokens."""
        return bool(self._tokens)

    def headers(self, most: Scope) -> dict[str, str]:
        """With which a program of ours asks: the greatest token up to this scope, else any that there is."""
        fitting = [token for scope, token in self._tokens.items() if scope <= most]
        token = next(iter([*reversed(fitting), *self._tokens.values()]), None)
        return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}

    def judge(self, asked: Asked, now: datetime) -> Granted | Denied:
        """Whether a request may go on."""
        if not self.guarded:
            return Granted(Scope.OPERATE)
        if is_open(asked.path):
            return Granted(None)
        changes = asked.method not in _READING
        if asked.authorization:
            scope, refusal = self._scope_of_token(_bearer(asked.authorization)), _WRONG
        elif asked.session is not None:
            scope, refusal = self.scope_of_session(asked.session, now), _ENDED
        else:
            scope, refusal = None, _MISSING
        if scope is None:
            return refusal
        if changes and scope < Scope.OPERATE:
            return _READ_ONLY
        if changes and not asked.authorization and not self._knows_csrf(asked):
            return FORGED
        return Granted(scope)

    def log_in(self, token: str, now: datetime, session_s: float, nonce: str) -> str | None:
        """The cookie of a new session for whoever knows this token; None when it is wrong.

        `nonce` is 16 to 64 random characters of A-Z a-z 0-9 _ -.
        """
        scope = self._scope_of_token(token)
        if scope is None:
            return None
        said = f"{scope.name.lower()}.{int(now.timestamp() + session_s)}.{nonce}"
        return f"{said}.{self._mac(scope, 'session', said)}"

    def scope_of_session(self, cookie: str, now: datetime) -> Scope | None:
        """What the holder of a session may do; None when it has ended, or never was one of ours."""
        if not (found := _SESSION.fullmatch(cookie)):
            return None
        scope = Scope[found[1].upper()]
        if scope not in self._tokens:
            return None
        whole = hmac.compare_digest(found[4], self._mac(scope, "session", cookie.rpartition(".")[0]))
        return scope if whole and now.timestamp() < int(found[2]) else None

    def csrf_token(self, cookie: str) -> str:
        """What the pages of a session put into their forms; empty when it is none of ours."""
        found = _SESSION.fullmatch(cookie)
        scope = Scope[found[1].upper()] if found else None
        return self._mac(scope, "csrf", cookie) if scope in self._tokens else ""

    def _knows_csrf(self, asked: Asked) -> bool:
        expected = self.csrf_token(asked.session or "")
        return bool(expected) and hmac.compare_digest(expected.encode(), _bytes(asked.csrf or ""))

    def _scope_of_token(self, token: str | None) -> Scope | None:
        given = sha256(_bytes(token or "")).digest()
        found = None
        for scope, known in self._tokens.items():  # the greater one is the last
            if hmac.compare_digest(given, sha256(_bytes(known.get_secret_value())).digest()):
                found = scope
        return found

    def _mac(self, scope: Scope, purpose: str, said: str) -> str:
        secret = self._tokens[scope].get_secret_value().encode()
        return hmac.new(secret, f"brh-{purpose}-1:{said}".encode(), sha256).hexdigest()


def is_open(path: str) -> bool:
    """Whether a path needs no token."""
    return path in _OPEN or (path.startswith(ASSETS_PATH) and "/" not in path.removeprefix(ASSETS_PATH))


def _bearer(values: Iterable[str]) -> str | None:
    match [value.split() for value in values]:
        case [[scheme, token]] if scheme.lower() == "bearer":
            return token
        case _:
            return None


def _bytes(text: str) -> bytes:
    # Headers hold whatever somebody sends, which need not be text.
    return text.encode("utf-8", "surrogatepass")
