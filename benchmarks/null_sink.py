"""A storage service that takes every Put Block and keeps nothing: what is left is the cost of everything else.

`python -m benchmarks.null_sink PORT` listens on 127.0.0.2, which the product does not take for
an emulator.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final, cast

HOST: Final = "127.0.0.2"
_HEAD_MAX: Final = 64 << 10
_REPLY: Final = (
    b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nx-ms-request-id: 0\r\nx-ms-version: 2026-06-06\r\n"
    b'etag: "0"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n'
)


class Sink(asyncio.BufferedProtocol):
    """One connection, request after request."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(1 << 20))
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> Any:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
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


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, HOST, port)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
