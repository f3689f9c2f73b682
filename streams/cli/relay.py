"""The body of a message on its way from one connection to another, a piece at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from bridge.amqp_connection import LaneClosed
from bridge.contract.inbound import HEADER_MAX_BYTES
from bridge.publishing import NotTaken, Publishing

PIECE_BYTES: Final = HEADER_MAX_BYTES
"""Held in memory. The last piece is sent only when somebody who knows the whole body says so; until then the broker
has no message. A header, whose body has to be read as a whole, fits into one."""


class Relay:
    """A body: what came is sent on, but for the last piece; without a destination it is only read."""

    def __init__(self, size: int, to: Publishing | None, begin: Callable[[], None], *, digest: bool) -> None:
        """`begin` begins the message on `to`; it is called when there is more than one piece, else by `finish`."""
        self.arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """All bytes have come. Fails with LaneClosed."""
        self.begun = False
        self._to = to
        self._begin = begin
        self._left = size
        self._whole = size <= PIECE_BYTES
        self._piece = memoryview(bytearray(max(1, min(size, PIECE_BYTES))))
        self._at = 0
        self._sha256 = hashlib.sha256() if digest else None
        self._failure: LaneClosed | NotTaken | None = None
        self.moved = 0
        """Bytes that have come."""

    @property
    def body(self) -> bytes | None:
        """All of it, where it is one piece."""
        return bytes(self._piece[: self._at]) if self._whole else None

    @property
    def sha256(self) -> str | None:
        """Of all that came, where it was asked for."""
        return self._sha256.hexdigest() if self._sha256 is not None else None

    def room(self) -> memoryview | None:
        """None while the other connection has more than its broker takes."""
        return None if self._to is not None and self._to.full else self._piece[self._at :]

    def filled(self, count: int) -> None:
        """Keep what has come, or send it on."""
        if self._sha256 is not None:
            self._sha256.update(self._piece[self._at : self._at + count])
        self._at += count
        self._left -= count
        self.moved += count
        if not self._left:
            if not self.arrived.done():
                self.arrived.set_result(None)
        elif self._at == len(self._piece):
            self._send()
            self._at = 0

    def lose(self, why: Exception) -> None:
        """The rest will never come."""
        if not self.arrived.done():
            self.arrived.set_exception(why)

    def finish(self) -> None:
        """Send the last piece, and so the message. Raises LaneClosed, NotTaken."""
        self._send()
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        if self._to is None or self._failure is not None:
            return
        try:
            if not self.begun:
                self._begin()
                self.begun = True
            self._to.write(self._piece[: self._at])
        except (LaneClosed, NotTaken) as error:
            # Whoever reads the other connection must not end for it: the rest of the body still has to be read.
            self._failure = error
