"""How the API answers: JSON that nobody may keep, and a problem document for everything that goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web

from streams import queries
from streams.queries import BadParameter, Document
from streams.remedies import remedy_of_answer
from streams.routing import NotReady

RETRY_AFTER_S: Final = 1
PATH_CHARS_MAX: Final = 200
"""Of a path that is quoted."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


class Refused(Exception):
    """Ends a request with this problem document."""

    def __init__(self, document: Document, headers: dict[str, str] | None = None) -> None:
        super().__init__(document["detail"])
        self.document = document
        self.headers = headers or {}


def asked_for(request: web.Request) -> str:
    """A request as it is named to whoever made it: what stands in a path is escaped, and may be long."""
    return f"{request.method} {request.rel_url.raw_path[:PATH_CHARS_MAX]}"


async def not_found(_: web.Request) -> web.Response:
    """A handler for what is not there."""
    raise web.HTTPNotFound


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as a problem document; what nobody expected is told to the log and not to the caller."""
    try:
        return await handler(request)
    except Exception as error:
        document, headers = trouble(request, error)
        content_type = "application/problem+json"
        return as_json(document, status=document["status"], content_type=content_type, headers=headers)


def trouble(request: web.Request, error: Exception) -> tuple[Document, dict[str, str]]:
    """The problem document of what a handler raised, and the headers that go with it; what is no error is raised.

    Every error passes here, so this is where it is said what helps.
    """
    document, headers = _told(request, error)
    helps = remedy_of_answer(document["code"], document["status"], request.match_info.get("id", "TXN"))
    return {**document, "remedy": helps}, headers


def _told(request: web.Request, error: Exception) -> tuple[Document, dict[str, str]]:
    match error:
        case Refused():
            return error.document, error.headers
        case BadParameter():
            title = "A parameter is wrong"
            return queries.problem(400, "bad-parameter", title, f"{error}.", parameter=error.name), {}
        case NotReady():
            title = "The answer is not known just now"
            return queries.problem(503, "not-ready", title, str(error)), {"Retry-After": str(RETRY_AFTER_S)}
        case web.HTTPException() if error.status < 400:
            raise error
        case web.HTTPException():
            kept = {name: value for name, value in error.headers.items() if name == "Allow"}
            code = error.reason.lower().replace(" ", "-")
            detail = f"{asked_for(request)}: {error.reason.lower()}."
            return queries.problem(error.status, code, error.reason, detail), kept
        case _:
            log.error("%s %s failed", request.method, request.rel_url.raw_path, exc_info=error)
            detail = f"{asked_for(request)}: the log of this tracker tells what happened."
            return queries.problem(500, "internal-error", "The tracker made a mistake", detail), {}


def as_json(
    value: Any, *, status: int = 200, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> web.Response:
    """An answer that holds this value."""
    response = web.Response(
        body=msgspec.json.encode(value), status=status, content_type=content_type, headers=headers or {}
    )
    response.headers["Cache-Control"] = "no-store"
    return response
