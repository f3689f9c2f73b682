"""A storage service that takes every Put Block and keeps nothing: what is left is the cost of everything else.

`python -m benchmarks.null_sink PORT` listens on 127.0.0.2, which the product does not take for an emulator. With
`MB_PER_S` behind it, it reads no faster than that, over all connections together: as storage does whose own limit, or
the network's, comes before that of the processors.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any, Final, cast

HOST: Final = "127.0.0.2"
_HEAD_MAX: Final = 64 << 10
_REPLY: Final = (
    b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nx-ms-request-id: 0\r\nx-ms-version: 2026-06-06\r\n"
    b'etag: "0"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n'
)


class Pace:
    """How fast all connections together are read."""

    def __init__(self, mb_per_s: float) -> None:
        self._s_per_byte = 1 / (mb_per_s * 1e6)
        self._due_s = 0.0
        """When what was read until now may have been read."""

    def read(self, count: int, now_s: float) -> float:
        """So many bytes were read now; returns when more may be."""
        self._due_s = max(self._due_s, now_s) + count * self._s_per_byte
        return self._due_s


class Sink(asyncio.BufferedProtocol):
    """One connection, request after request."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace
        self._buffer = memoryview(bytearray(1 << 20))
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> Any:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._pace is not None:
            loop = asyncio.get_running_loop()
            self._transport.pause_reading()
            loop.call_at(self._pace.read(nbytes, loop.time()), self._transport.resume_reading)
        at = 0
        while at < nbytes:
            if self._left:
                taken = min(self._left, nbytes - at)
                self._left -= taken
                at += taken
                if not self._left:
                    self._transport.write(_REPLY)
                continue
            self._head += bytes(self._buffer[at:nbytes])
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                assert len(self._head) < _HEAD_MAX, "a request's head is too long"
                return
            at = nbytes - (len(self._head) - end - 4)
            self._left = self._content_length(self._head[:end])
            self._head = b""
            if not self._left:
                self._transport.write(_REPLY)

    @staticmethod
    def _content_length(head: bytes) -> int:
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return int(value)
        return 0


async def _serve(port: int, mb_per_s: float | None) -> None:
    pace = Pace(mb_per_s) if mb_per_s else None
    server = await asyncio.get_running_loop().create_server(partial(Sink, pace), HOST, port)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) if sys.argv[2:] else None))
