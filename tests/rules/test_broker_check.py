"""A broker with its default limits is named at start; one that cannot be asked stops nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from structlog.testing import capture_logs

from bridge.broker_check import check_broker, short_send_timeouts


def listener(protocol: str = "amqp", port: int = 5672, **options: Any) -> dict[str, Any]:
    return {"protocol": protocol, "ip_address": "::", "port": port, "socket_opts": options or []}


@pytest.mark.parametrize(
    ("listeners", "short"),
    [
        ([listener(send_timeout=600_000)], {}),
        ([listener(send_timeout=599_999)], {":::5672": 599.999}),
        ([listener(backlog=128)], {":::5672": 30}),
        ([listener()], {":::5672": 30}),
        ([listener("amqp/ssl", 5671)], {":::5671": 30}),
        ([listener("clustering", 25672), listener("http", 15672)], {}),
        ([listener(send_timeout=600_000), listener("amqp/ssl", 5671)], {":::5671": 30}),
        ([], {}),
    ],
)
def test_only_amqp_listeners_that_cut_slow_consumers_are_named(
    listeners: list[dict[str, Any]], short: dict[str, float]
) -> None:
    assert short_send_timeouts({"listeners": listeners}) == short


@pytest.fixture
async def management() -> AsyncIterator[TestServer]:
    async def overview(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Basic YTpi":  # a:b
            raise web.HTTPUnauthorized
        return web.json_response({"listeners": [listener(backlog=128)]})

    app = web.Application()
    app.router.add_get("/api/overview", overview)
    async with TestServer(app) as server:
        yield server


async def said(url: str | None, level: str = "") -> list[str]:
    """What was said, or only that of a level."""
    with capture_logs() as logs:
        await check_broker(SecretStr(url) if url else None)
    assert not any("secret" in str(log) for log in logs)
    return [log["event"] for log in logs if level in {"", log["log_level"]}]


async def test_what_does_not_suit_is_said_at_start(management: TestServer) -> None:
    address = f"{management.host}:{management.port}"
    assert await said(f"http://a:b@{address}") == ["broker cuts slow consumers", "broker's limits were checked"]
    assert await said(f"http://a:secret@{address}") == ["broker's limits cannot be read"]
    assert await said("http://a:secret@127.0.0.1:1") == ["broker's limits cannot be read"]
    assert await said(None, "warning") == ["broker's limits are not checked"]
