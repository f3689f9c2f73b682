"""A TCP proxy that does what networks do to connections, when it is told to.

async with TcpProxy(upstream_port) as proxy:
    proxy.cut(after=True)          # the next bytes arrive, and their reply does not
    proxy.hold(Way.DOWN)           # nothing comes back any more, and nobody is told
    proxy.throttle(100_000, 0.05)  # bytes a second, and seconds for each piece
    proxy.heal()                   # what was held goes on its way, as late as it is
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from enum import Enum, auto
from typing import Final, NamedTuple, Self

LOOPBACK: Final = "127.0.0.1"
PIECE_BYTES: Final = 64 << 10
REPLY_S: Final = 0.5
"""How long the reply is waited for that is then dropped."""


class Way(Enum):
    """Of bytes."""

    UP = auto()
    """From the client to the service."""
    DOWN = auto()


class Toxic(Enum):
    """What has really happened to bytes or connections."""

    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    HELD = auto()
    SLOWED = auto()


class _Cut(NamedTuple):
    after: bool
    skip: int


class TcpProxy:
    """Any number of connections to one port on loopback."""

    def __init__(self, upstream: int, port: int = 0) -> None:
        """`port`: its own; 0: any."""
        self.upstream = upstream
        self.port = port
        self.happened: Counter[Toxic] = Counter()
        self._cuts: list[_Cut] = []
        self._open = {way: asyncio.Event() for way in Way}
        self._bytes_per_s, self._latency_s = 0.0, 0.0
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.heal()

    # What happens

    def cut(self, *, after: bool, skip: int = 0) -> None:
        """Reset the connection on which a client sends next, or `skip` pieces later: before or after they arrive."""
        self._cuts.append(_Cut(after, skip))

    def hold(self, *ways: Way) -> None:
        """Let nothing through, on old and new connections; without an argument in both directions."""
        for way in ways or Way:
            self._open[way].clear()

    def throttle(self, bytes_per_s: float, latency_s: float = 0.0) -> None:
        """For each connection and direction."""
        self._bytes_per_s, self._latency_s = bytes_per_s, latency_s

    def heal(self) -> None:
        """Be a wire."""
        self._cuts.clear()
        self._bytes_per_s = self._latency_s = 0.0
        for gate in self._open.values():
            gate.set()

    # The wire

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port, limit=PIECE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.heal()
        self._server.close()
        while self._serving:
            for link in list(self._links):
                link.cut()
            await asyncio.wait(self._serving, timeout=REPLY_S)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._pass(Way.UP)
        try:
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self.upstream, limit=PIECE_BYTES)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, up_writer)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(link, reader, up_writer, Way.UP), self._pump(link, up_reader, writer, Way.DOWN)
            )
        except OSError:
            link.cut()
        finally:
            self._links.discard(link)
            writer.close()
            up_writer.close()

    async def _pump(self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way) -> None:
        while piece := await source.read(PIECE_BYTES):
            await self._pass(way)
            if link.deaf and way is Way.DOWN:  # this was the reply
                link.cut()
                return
            cut = self._due_cut() if way is Way.UP else None
            if cut is not None and not cut.after:
                self.happened[Toxic.CUT_BEFORE] += 1
                link.cut()
                return
            if cut is not None:
                link.deaf = True
            sink.write(piece)
            await sink.drain()
            if cut is not None:
                self.happened[Toxic.CUT_AFTER] += 1
                asyncio.get_running_loop().call_later(REPLY_S, link.cut)
            if self._bytes_per_s:
                self.happened[Toxic.SLOWED] += 1
                await asyncio.sleep(self._latency_s + len(piece) / self._bytes_per_s)
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()

    async def _pass(self, way: Way) -> None:
        if not self._open[way].is_set():
            self.happened[Toxic.HELD] += 1
            await self._open[way].wait()

    def _due_cut(self) -> _Cut | None:
        if not self._cuts:
            return None
        first = self._cuts.pop(0)
        if first.skip:
            self._cuts.insert(0, first._replace(skip=first.skip - 1))
            return None
        return first


class _Link:
    """The two connections of one client."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.deaf = False
        """The client gets no reply any more."""

    def cut(self) -> None:
        """Reset both."""
        for writer in self._writers:
            writer.transport.abort()
