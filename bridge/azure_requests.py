"""Each request to blob storage, counted where it leaves the process: what the SDK repeats counts again."""

from __future__ import annotations

import time
from typing import Any, Final

from azure.core.pipeline.transport import AioHttpTransport
from yarl import URL

from bridge.metrics import STORAGE_REQUESTS, STORAGE_SECONDS, begin

NO_ANSWER: Final = "0"

_OPERATIONS: Final = {
    ("PUT", "block"): "put-block",
    ("PUT", "blocklist"): "put-block-list",
    ("GET", "blocklist"): "get-block-list",
    ("PUT", ""): "put-blob",
    ("GET", ""): "get-blob",
    ("HEAD", ""): "get-properties",
    ("DELETE", ""): "delete-blob",
    ("GET", "list"): "list-blobs",
}
"""By method and what the query names; the rest is `other`."""
_TROUBLE: Final = (NO_ANSWER, "429", "503")


class CountedTransport(AioHttpTransport):  # type: ignore[misc]  # azure.core hides its type behind __getattr__
    """The SDK's transport, and two metrics."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        begin(STORAGE_REQUESTS, _OPERATIONS.values(), _TROUBLE)

    async def send(self, request: Any, **options: Any) -> Any:
        """One attempt."""
        operation = operation_of(request.method, request.url)
        began_s, status = time.perf_counter(), NO_ANSWER
        try:
            answer = await super().send(request, **options)
            status = str(answer.status_code)
        finally:
            STORAGE_REQUESTS.labels(operation, status).inc()
        if not _turned_away(answer.status_code):
            STORAGE_SECONDS.labels(operation).observe(time.perf_counter() - began_s)
        return answer


def _turned_away(status: int) -> bool:
    """Said at once, or at a limit of the service's: how long the work takes cannot be told from it.

    A conflict, or that there is nothing, is what was asked, and counts.
    """
    return status == 429 or status >= 500


def operation_of(method: str, url: str) -> str:
    """What is asked for, as Azure's documentation calls it."""
    query = URL(url, encoded=True).query
    if query.get("restype") == "container" and "comp" not in query:
        return "create-container" if method == "PUT" else "get-properties"
    return _OPERATIONS.get((method, query.get("comp", "")), "other")
