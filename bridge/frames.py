"""AMQP 0-9-1 frames as they come off the wire, with every body going straight to where it is wanted. No I/O.

A frame is `type(1) channel(2) size(4) payload(size) 0xCE`. A message is a Basic.Deliver method (Basic.GetOk, where it
was asked for), a content header with all properties and the exact size of the body, and body frames until that size is
reached. Nothing of a body is held here: the receiver names the memory for it before its first byte, and whoever does
the reading is given that memory itself, so a byte is copied once, by the kernel.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.exceptions import PAMQPException

from bridge.amqp_message import read_deliver, read_properties

FRAME_MAX_BYTES: Final = 128 << 10
"""What we offer, and RabbitMQ's default: larger frames gained at most a fifth, half of it lost a tenth and more."""
READ_BYTES: Final = 2 * FRAME_MAX_BYTES
"""Of the buffer for everything that is not read into a body's own memory: holds any frame, and many small ones."""
DIRECT_FROM_BYTES: Final = 16 << 10
"""A shorter rest of a frame is read together with what follows it: one system call for many small messages."""

_PREFIX: Final = struct.Struct(">BHI")
_OVERHEAD: Final = _PREFIX.size + 1
_CONTENT: Final = struct.Struct(">HHQ")
_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_END: Final = 0xCE
_BASIC: Final = 60
_UNREADABLE: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, struct.error, PAMQPException)


Begin = commands.Basic.Deliver | commands.Basic.GetOk
"""The method that a message begins with."""


class FrameError(Exception):
    """The bytes are not AMQP as it was negotiated: the connection can only be given up."""


class Body(Protocol):
    """Where the body of one message goes."""

    def room(self) -> memoryview | None:
        """Memory for the next bytes, at least one; None: there is none now, `proceed` has to be called later.

        An empty body is asked too, once, and then told that nothing was written: so every message can be kept waiting.
        """
        ...

    def filled(self, count: int) -> None:
        """The first `count` bytes of the room last named have been written."""
        ...

    def lose(self, why: Exception) -> None:
        """The rest will never come."""
        ...


class DroppedBody:
    """Bytes that nobody wants: received all the same, since the next message comes behind them."""

    _scratch = memoryview(bytearray(FRAME_MAX_BYTES))
    """Written to by all and read by nobody."""

    def room(self) -> memoryview | None:
        """The same memory each time."""
        return self._scratch

    def filled(self, count: int) -> None:
        """Nothing to do."""

    def lose(self, why: Exception) -> None:
        """Nothing to do."""


class Receiver(Protocol):
    """Whom the frames are for."""

    def on_method(self, channel: int, method: Frame) -> None:
        """Any method that no message of ours begins with."""
        ...

    def on_message(self, deliver: Begin, size: int, properties: commands.Basic.Properties) -> Body:
        """A message of `size` bytes begins. Unreadable properties are all None."""
        ...


class FrameReader:
    """Splits what was received into frames. One connection, one channel with content."""

    def __init__(self, receiver: Receiver, channel: int = 1) -> None:
        self._receiver = receiver
        self._channel = channel
        self._read = memoryview(bytearray(READ_BYTES))
        self._start = self._end = 0
        self._deliver: Begin | None = None
        self._body: Body | None = None
        self._body_left = 0
        self._frame_left = 0
        self._end_due = False
        self._direct: memoryview | None = None
        self.frame_max = FRAME_MAX_BYTES
        """Bytes of the largest frame, prefix and end included, as negotiated; not more than `FRAME_MAX_BYTES`."""
        self.starved = False
        """A body has no room: nothing must be received until `proceed` has changed that."""
        self.finished = False
        self.properties = b""
        """Of the last message, as they came, flags first: for whoever sends it on."""

    def end(self, why: Exception) -> None:
        """There will be no more bytes; again is harmless."""
        self.finished = True
        body, self._body = self._body, None
        if body is not None:
            body.lose(why)

    def buffer(self) -> memoryview:
        """Where the next bytes are to be received, never empty."""
        self._direct = None
        if self._body is not None and self._frame_left >= DIRECT_FROM_BYTES and self._start == self._end:
            room = self._body.room()
            if room is not None:
                # The end octet and the next prefix come in the same system call; `received` takes them out again.
                wanted = self._frame_left + _OVERHEAD
                self._direct = room[: wanted if len(room) >= wanted else min(len(room), self._frame_left)]
                return self._direct
        return self._read[self._end :]

    def received(self, count: int) -> None:
        """`count` bytes are in the buffer. Raises FrameError."""
        if self._direct is None:
            self._end += count
        else:
            taken = min(count, self._frame_left)
            beyond = count - taken
            self._read[:beyond] = self._direct[taken:count]
            self._start, self._end, self._direct = 0, beyond, None
            self._fill(taken)
        self.proceed()

    def proceed(self) -> None:
        """Go on with what has been received. Raises FrameError."""
        self.starved = False
        while not (self.finished or self.starved) and self._step():
            pass
        if not self.starved and self._start:
            rest = self._end - self._start  # an incomplete frame, or nothing
            self._read[:rest] = bytes(self._read[self._start : self._end])
            self._start, self._end = 0, rest

    def _step(self) -> bool:
        """Take one frame, or what there is of a body. False: more bytes are needed, or more room."""
        available = self._end - self._start
        if self._frame_left:
            return available > 0 and self._copy(available)
        if self._end_due:
            return available > 0 and self._finish_frame(self._start)
        if self._body is not None and not self._body_left:
            return self._finish_empty(self._body)
        return available >= _PREFIX.size and self._frame(available)

    def _frame(self, available: int) -> bool:
        """Take one whole frame, or the beginning of a body's."""
        kind, channel, size = _PREFIX.unpack_from(self._read, self._start)
        if size + _OVERHEAD > self.frame_max:
            raise FrameError(
                f"a frame of {size + _OVERHEAD} bytes is larger than negotiated, which is {self.frame_max}"
            )
        if kind == _BODY:
            self._begin_body_frame(channel, size)
            return True
        if available < size + _OVERHEAD:
            return False
        start = self._start
        self._finish_frame(start + _PREFIX.size + size)
        if kind == _METHOD:
            self._method(channel, bytes(self._read[start : start + size + _OVERHEAD]))
        elif kind == _HEADER:
            self._content(channel, bytes(self._read[start + _PREFIX.size : start + _PREFIX.size + size]))
        elif kind != _HEARTBEAT:
            raise FrameError(f"there is no frame of type {kind}")
        return True

    def _begin_body_frame(self, channel: int, size: int) -> None:
        if self._body is None or channel != self._channel:
            raise FrameError("a body frame without a message")
        if size > self._body_left:
            raise FrameError("a body is longer than its header says")
        self._start += _PREFIX.size
        self._frame_left = size
        self._end_due = True

    def _copy(self, available: int) -> bool:
        room = self._body.room() if self._body is not None else None
        if room is None:
            self.starved = True
            return False
        count = min(self._frame_left, available, len(room))
        room[:count] = self._read[self._start : self._start + count]
        self._start += count
        self._fill(count)
        return True

    def _fill(self, count: int) -> None:
        if self._body is None:
            raise FrameError("bytes of a body without a message")
        self._frame_left -= count
        self._body_left -= count
        body = self._body
        if not self._body_left:
            self._body = None
        body.filled(count)

    def _finish_frame(self, end: int) -> bool:
        if self._read[end] != _END:
            raise FrameError("a frame does not end where it should")
        self._start = end + 1
        self._end_due = False
        return True

    def _method(self, channel: int, whole: bytes) -> None:
        try:
            method = read_deliver(whole[_PREFIX.size :]) or frame.unmarshal(whole)[2]
        except _UNREADABLE as error:
            raise FrameError(f"a method cannot be read: {error!r}") from error
        if not isinstance(method, Begin):
            self._receiver.on_method(channel, method)  # type: ignore[arg-type]  # of a method frame it is a method
            return
        if self._body is not None or self._deliver is not None or channel != self._channel:
            raise FrameError("a message begins inside another")
        self._deliver = method

    def _content(self, channel: int, payload: bytes) -> None:
        deliver, self._deliver = self._deliver, None
        if deliver is None or channel != self._channel or len(payload) < _CONTENT.size:
            raise FrameError("a content header without a message")
        class_id, _, size = _CONTENT.unpack_from(payload)
        if class_id != _BASIC:
            raise FrameError(f"content of class {class_id}")
        self.properties = payload[_CONTENT.size :]
        try:
            properties = read_properties(self.properties)
        except _UNREADABLE:
            # A producer wrote it and the broker took it, so it is a bad message and not a bad connection.
            properties = commands.Basic.Properties()
        self._body = self._receiver.on_message(deliver, size, properties)
        self._body_left = size

    def _finish_empty(self, body: Body) -> bool:
        if body.room() is None:
            self.starved = True
            return False
        self._body = None
        body.filled(0)
        return True
