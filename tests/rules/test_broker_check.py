"""A broker with its default limits is named at a bridge's start; one that cannot be asked is no failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.broker_check import look, short_send_timeouts
from bridge.settings import BridgeSettings
from bridge.topology import CONSUMED


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
    def allowed(request: web.Request) -> None:
        if request.headers.get("authorization") != "Basic YTpi":  # a:b
            raise web.HTTPUnauthorized

    async def overview(request: web.Request) -> web.Response:
        allowed(request)
        return web.json_response({"listeners": [listener(backlog=128)]})

    async def queues(request: web.Request) -> web.Response:
        allowed(request)
        short = request.match_info["vhost"] == "short"
        return web.json_response(
            [{"name": name, "arguments": {"x-consumer-timeout": 1_000} if short else {}} for name in CONSUMED]
        )

    app = web.Application()
    app.router.add_get("/api/overview", overview)
    app.router.add_get("/api/queues/{vhost}", queues)
    async with TestServer(app) as server:
        yield server


async def found(management_url: str | None, vhost: str = "brh") -> dict[str, str]:
    """By name, of what is not right."""
    settings = BridgeSettings(
        amqp_url=f"amqp://u:secret@127.0.0.1/{vhost}", rabbitmq_management_url=management_url, hold_max_s=1_200
    )
    checks = await look(settings)
    assert "secret" not in repr(checks)
    return {check.name: check.status for check in checks if check.status != "ok"}


async def test_what_does_not_suit_is_found_at_start(management: TestServer) -> None:
    asked = f"http://a:b@{management.host}:{management.port}"
    assert await found(asked) == {"rabbitmq.send-timeout": "fail"}, "and nothing of what no broker tells"
    assert await found(asked, "short") == {"rabbitmq.send-timeout": "fail", "rabbitmq.consumer-timeout": "fail"}


async def test_a_broker_that_cannot_be_asked_is_no_failure(management: TestServer) -> None:
    wrong = f"http://a:secret@{management.host}:{management.port}"
    for url in (wrong, "http://a:secret@127.0.0.1:1", None):
        assert await found(url) == {"rabbitmq.management": "warn"}
