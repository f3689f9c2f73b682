"""Every request to storage is counted by what became of it; a duration has one that was answered and not turned away.

The requests are the SDK's own, to a server that takes every block, by way of a proxy that a fault happens in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from benchmarks.null_sink import Sink
from bridge import metrics
from bridge.azure_requests import NO_ANSWER
from bridge.blobs import BlobsError
from bridge.checksums import crc64
from bridge.layout import BlockId
from tests.support.azure import azure_blobs
from tests.support.counted import counts
from tests.support.fault_proxy import Fault, FaultProxy

PUT_BLOCK = "put-block"


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, FaultProxy(f"http://{host}:{port}") as proxy:
        yield proxy


async def stage(proxy: FaultProxy, attempts: int = 1) -> None:
    connection = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=c2luaw==;BlobEndpoint={proxy.url}/a;"
    async with azure_blobs(connection, attempts=attempts) as blobs:
        await blobs.stage_block("T/s/part-00000", BlockId(1, 1, 1, 0, 1, crc64((b"body",))), [b"body"])


async def test_a_request_that_was_answered_has_a_duration(proxy: FaultProxy) -> None:
    with (
        counts(metrics.STORAGE_REQUESTS, 1),
        counts(metrics.STORAGE_REQUESTS, 1, operation=PUT_BLOCK, status="201"),
        counts(metrics.STORAGE_SECONDS, 1, operation=PUT_BLOCK),
    ):
        await stage(proxy)


async def test_a_refusal_is_an_answer(proxy: FaultProxy) -> None:
    proxy.plan("PUT", "comp=block&", Fault.BLOCKS_GONE)
    with (
        counts(metrics.STORAGE_REQUESTS, 1, operation=PUT_BLOCK, status="400"),
        counts(metrics.STORAGE_SECONDS, 1, operation=PUT_BLOCK),
        pytest.raises(BlobsError),
    ):
        await stage(proxy)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.THROTTLED, "429"),
        (Fault.BROKEN, "500"),
        (Fault.UNAVAILABLE, "503"),
        (Fault.CUT_REPLY, NO_ANSWER),
        (Fault.RESET_IN_BODY, NO_ANSWER),
    ],
)
async def test_what_storage_did_not_work_on_is_counted_and_has_no_duration(
    proxy: FaultProxy, fault: Fault, status: str
) -> None:
    proxy.plan("PUT", "comp=block&", fault)
    with (
        counts(metrics.STORAGE_REQUESTS, 1),
        counts(metrics.STORAGE_REQUESTS, 1, operation=PUT_BLOCK, status=status),
        counts(metrics.STORAGE_SECONDS, 0),
        pytest.raises(BlobsError),
    ):
        await stage(proxy)
    assert proxy.faults[fault] == 1


async def test_a_request_that_nobody_waits_for_any_more_has_no_duration(proxy: FaultProxy) -> None:
    proxy.plan("PUT", "comp=block&", Fault.SILENCE)
    with counts(metrics.STORAGE_REQUESTS, 1, status=NO_ANSWER), counts(metrics.STORAGE_SECONDS, 0):
        asked = asyncio.create_task(stage(proxy))
        async with asyncio.timeout(10):
            while not proxy.faults[Fault.SILENCE]:
                await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    proxy.heal()


async def test_each_attempt_of_one_that_is_repeated_counts(proxy: FaultProxy) -> None:
    proxy.plan("PUT", "comp=block&", Fault.UNAVAILABLE, times=2)
    with (
        counts(metrics.STORAGE_REQUESTS, 2, operation=PUT_BLOCK, status="503"),
        counts(metrics.STORAGE_REQUESTS, 1, operation=PUT_BLOCK, status="201"),
        counts(metrics.STORAGE_SECONDS, 1, operation=PUT_BLOCK),
    ):
        await stage(proxy, attempts=3)
