"""What the environment says of proxies and passwords, and what becomes of it: nothing here leaves the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.null_sink import Sink
from bridge.checksums import crc64
from bridge.layout import BlockId
from tests.support.azure import azure_blobs

NOBODY = "127.0.0.1:9"
"""The port of a service that no machine has any more."""


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[str]:
    """Address of a server that takes every block."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def stage(address: str) -> None:
    account = f"http://{address}/devstoreaccount1"
    connection = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=c2luaw==;BlobEndpoint={account};"
    async with azure_blobs(connection, attempts=1) as blobs:
        await blobs.stage_block("T/s/part-00000", BlockId(1, 1, 1, 0, 1, crc64((b"body",))), [b"body"])


async def test_passwords_for_other_programs_are_not_looked_up(
    sink: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    passwords = tmp_path / "netrc"
    passwords.write_text("default login somebody password secret\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("NETRC", str(passwords))
    await stage(sink)


async def test_requests_go_by_way_of_the_proxy(sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{sink}")
    await stage("storage.invalid")


async def test_hosts_without_proxy_are_asked_directly(sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{NOBODY}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    await stage(sink)


async def test_a_proxy_that_does_not_answer_is_missed(sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{NOBODY}")
    with pytest.raises(Exception, match="stage block"):
        await stage(sink)
