"""What stands around Faust's own table views (`/table/...`), so that they answer as the rest of the interface does.

Faust passes the question for a row on to the row's owner. By itself it does so without a limit of time, and without end
where two trackers hold each other for the owner; what then goes wrong is a mistake of ours, or JSON of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp
import faust
import structlog
from aiohttp import web

from bridge.quoting import quoted
from bridge.unreadable import UNREADABLE
from streams import routing
from streams.answers import Handler
from streams.routing import NotReady, Routing
from streams.topics import Topics
from tables.receipts import transaction_of

FORWARDED: Final = "X-Brh-Forwarded"
"""In what a tracker passes on: whoever gets it answers, or says that it is not the owner."""

_PATH: Final = "/table"
_TRACKERS_TELL: Final = ("application/json", "application/problem+json")
"""What else comes from where the owner should be is from somebody else."""

_log = structlog.get_logger()


class TableViews:
    """A middleware; it raises NotReady and HTTPNotFound where Faust answers with an error."""

    def __init__(self, app: faust.App, topics: Topics, owners: Routing, headers: Mapping[str, str]) -> None:
        """`headers` show the other trackers that we are one."""
        self._app = app
        self._topics = topics
        self._owners = owners
        self._headers = {**headers, FORWARDED: "1"}

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """While tables are recovered the views would show a part, or fail."""
        if not request.path.startswith(_PATH):
            return await handler(request)
        self._owners.check_ready()
        name, key = request.match_info.get("name"), request.match_info.get("key")
        if name is not None and name not in self._app.tables:
            raise web.HTTPNotFound  # Faust looks for its owner, and finds none
        if key is None:
            return _shown(await handler(request))
        self._check_owner(transaction_of(key), passed_on=FORWARDED in request.headers)
        # Faust passes on the headers that it sees. None of the caller's is needed: some say a session, some belong to a
        # body that stays here, some cannot be written again. The host is replaced by the owner's.
        marked = request.clone(headers=self._headers, host="localhost")
        try:
            async with asyncio.timeout(routing.ASK_TIMEOUT_S):
                return _shown(await handler(marked))
        except (TimeoutError, aiohttp.ClientError, OSError, *UNREADABLE) as error:
            _log.info("another tracker did not show a row", table=name, reason=repr(error))
        raise NotReady(f"the tracker that owns the row {quoted(key)} cannot answer")

    def _check_owner(self, transaction_id: str, *, passed_on: bool) -> None:
        if passed_on:
            self._owners.check_mine([self._topics.partition_of(transaction_id)])
        else:
            self._owners.owner_of(transaction_id)


def _shown(response: web.StreamResponse) -> web.StreamResponse:
    """What Faust answers, unless it is an error, of its own or of the tracker that it has asked."""
    if response.status == 404 and response.content_type in _TRACKERS_TELL:
        raise web.HTTPNotFound
    if response.status != 200 or response.content_type != _TRACKERS_TELL[0]:
        raise NotReady(f"the tracker that owns this row answers with status {response.status}")
    return response
