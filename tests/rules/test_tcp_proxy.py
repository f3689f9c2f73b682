"""The proxy of the chaos runs is a wire, until it is told to be a bad one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.tcp_proxy import TcpProxy, Toxic, Way


class Echo:
    """A service that keeps what it has read, and sends it back."""

    def __init__(self) -> None:
        self.read = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1 << 16):
                self.read += piece
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()


Dial = Callable[[TcpProxy], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, TcpProxy]]:
    service = Echo()
    tasks: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(
        lambda *streams: tasks.append(asyncio.create_task(service.serve(*streams))), "127.0.0.1", 0
    )
    async with TcpProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield service, proxy
    server.close()
    await asyncio.gather(*tasks)


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    writers: list[asyncio.StreamWriter] = []

    async def dial(proxy: TcpProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    yield dial
    for writer in writers:
        writer.transport.abort()
        await asyncio.sleep(0)


async def until_read(service: Echo, content: bytes) -> None:
    async with asyncio.timeout(20):
        while service.read != content:
            await asyncio.sleep(0.01)


async def is_reset(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(100), 20) == b""
    except ConnectionError:
        return True


async def test_all_bytes_pass_in_order_and_the_end_is_passed_on(echo: tuple[Echo, TcpProxy], dial: Dial) -> None:
    _, proxy = echo
    reader, writer = await dial(proxy)
    content = bytes(at % 251 for at in range(3_000_000))
    writer.write(content)
    assert await asyncio.wait_for(reader.readexactly(len(content)), 60) == content
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()


async def test_a_cut_before_loses_the_bytes(echo: tuple[Echo, TcpProxy], dial: Dial) -> None:
    service, proxy = echo
    reader, writer = await dial(proxy)
    proxy.cut(after=False, skip=1)
    writer.write(b"one")
    assert await asyncio.wait_for(reader.readexactly(3), 20) == b"one"
    writer.write(b"two")
    assert await is_reset(reader)
    assert service.read == b"one"
    assert proxy.happened == {Toxic.CUT_BEFORE: 1}


async def test_a_cut_after_loses_the_reply(echo: tuple[Echo, TcpProxy], dial: Dial) -> None:
    service, proxy = echo
    reader, writer = await dial(proxy)
    proxy.cut(after=True)
    writer.write(b"one")
    assert await is_reset(reader)
    await until_read(service, b"one")
    assert proxy.happened == {Toxic.CUT_AFTER: 1}


async def test_what_is_held_comes_as_late_as_it_is(echo: tuple[Echo, TcpProxy], dial: Dial) -> None:
    service, proxy = echo
    reader, writer = await dial(proxy)
    proxy.hold(Way.DOWN)
    writer.write(b"one")
    await until_read(service, b"one")
    proxy.hold()
    writer.write(b"two")
    other = await dial(proxy)
    other[1].write(b"three")
    async with asyncio.timeout(20):
        while proxy.happened[Toxic.HELD] < 3:
            await asyncio.sleep(0.01)
    assert service.read == b"one"
    proxy.heal()
    assert await asyncio.wait_for(reader.readexactly(6), 20) == b"onetwo"
    assert await asyncio.wait_for(other[0].readexactly(5), 20) == b"three"


async def test_a_throttled_wire_carries_all_the_same(echo: tuple[Echo, TcpProxy], dial: Dial) -> None:
    _, proxy = echo
    proxy.throttle(1 << 20)
    reader, writer = await dial(proxy)
    writer.write(bytes(200_000))
    assert await asyncio.wait_for(reader.readexactly(200_000), 60) == bytes(200_000)
    assert proxy.happened[Toxic.SLOWED] >= 4


async def test_a_service_that_is_away_refuses(echo: tuple[Echo, TcpProxy], dial: Dial) -> None:
    _, proxy = echo
    proxy.upstream = 1
    reader, _ = await dial(proxy)
    assert await is_reset(reader)
