"""What somebody who follows a transaction is told, given what is shown of it from time to time. Pure.

The id of a message names what the transaction showed, and nothing else: any tracker knows by it whether somebody who
comes back has missed something.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

import msgspec

from streams.queries import Row
from tables.transaction import FINAL

RETRY_MS: Final = 2_000
"""After how long a browser comes back whose connection has ended."""
_END: Final = ".end"


class Message(msgspec.Struct, frozen=True):
    """A Server-Sent Event."""

    kind: Literal["snapshot", "progress", "state", "end"]
    id: str
    data: bytes
    """JSON, without line breaks."""

    @property
    def wire(self) -> bytes:
        """As it is sent."""
        return b"event: %s\nid: %s\nretry: %d\ndata: %s\n\n" % (
            self.kind.encode(),
            self.id.encode(),
            RETRY_MS,
            self.data,
        )


class Following:
    """What one client has been told so far."""

    def __init__(self, last_event_id: str | None = None) -> None:
        self._known = last_event_id or ""
        self._state: str | None = None
        self._row: Row | None = None
        self._data, self._id = b"", ""
        self.done = False
        """Everything is said: `end` was the last message."""

    def has_all(self, row: Row) -> bool:
        """Whether somebody who comes back has heard the end already, and need not come again."""
        return row["state"] in FINAL and self._known == f"{self._look(row)}{_END}"

    def next(self, row: Row) -> Message | None:
        """What is to be said now that the transaction shows this: one thing at most."""
        shown, state = self._look(row), row["state"]
        if self._state is None and shown != self._known.removesuffix(_END):
            return self._say("snapshot", shown, state)
        if state != (self._state or state):
            return self._say("state", shown, state)
        if state in FINAL:
            self.done = True
            return self._say("end", shown + _END, state)
        if shown != self._known.removesuffix(_END):
            return self._say("progress", shown, state)
        self._state = state
        return None

    def _say(self, kind: Literal["snapshot", "progress", "state", "end"], id_: str, state: str) -> Message:
        self._known, self._state = id_, state
        return Message(kind, id_, self._data)

    def _look(self, row: Row) -> str:
        if row is not self._row:
            self._row, self._data = row, msgspec.json.encode(row)
            self._id = blake2b(self._data, digest_size=9).hexdigest()
        return self._id
