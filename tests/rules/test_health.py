"""What bridges and deliveries tell those that watch over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from test_measured import App

from bridge.exposition import Exposition
from bridge.health import Health
from bridge.metrics import Kind
from streams.health import DeliveryHealth
from tests.support.world import free_port

PATHS = ["/livez", "/readyz", "/version", "/metrics"]
Client = TestClient[web.Request, web.Application]


class Delivery(NamedTuple):
    app: Any
    health: DeliveryHealth
    client: Client
    looks: list[None]


@pytest_asyncio.fixture
async def delivery() -> AsyncIterator[Delivery]:
    """A member of its group that takes nothing yet; like Faust's server it has a page at `/`."""
    server, looks = web.Application(), list[None]()
    app: Any = App({0: 0})
    app.web = SimpleNamespace(web_app=server)
    app.rebalancing_count = 1
    health = DeliveryHealth(app)
    health.serve(lambda: looks.append(None))

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="of Faust")

    server.router.add_get("/", page)
    server.router.add_get("/livez/x", page)
    async with TestClient(TestServer(server)) as client:
        yield Delivery(app, health, client, looks)


class Bridge(NamedTuple):
    client: ClientSession
    reasons: list[str]


async def answer(client: Client | ClientSession, path: str) -> tuple[int, dict[str, Any]]:
    async with client.get(path) as response:
        return response.status, await response.json(content_type=None)


async def why(delivery: Delivery) -> str:
    """What keeps it from being ready."""
    status, problem = await answer(delivery.client, "/readyz")
    assert (status, problem["code"], problem["status"]) == (503, "not-ready", 503)
    return str(problem["detail"])


async def test_a_delivery_is_ready_while_it_takes_effects(delivery: Delivery) -> None:
    assert await why(delivery) == "it has not reached storage and RabbitMQ yet"
    with delivery.health.taking():
        assert await answer(delivery.client, "/readyz") == (200, {"status": "ready"})
    assert await why(delivery) == "it has not reached storage and RabbitMQ yet"


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("rebalancing_count", 0, "it joins its group"),
        ("rebalancing", True, "its group rebalances"),
        ("should_stop", True, "it ends"),
    ],
)
async def test_a_delivery_is_not_ready_without_its_place_in_the_group(
    delivery: Delivery, member: str, value: object, said: str
) -> None:
    setattr(delivery.app, member, value)
    with delivery.health.taking():
        assert await why(delivery) == said
        assert (await answer(delivery.client, "/livez"))[0] == 200


async def test_a_delivery_that_no_partition_is_left_for_is_ready(delivery: Delivery) -> None:
    delivery.app.consumer._ends.clear()
    with delivery.health.taking():
        assert (await answer(delivery.client, "/readyz"))[0] == 200


async def test_a_delivery_tells_its_metrics_and_nothing_of_faust(delivery: Delivery) -> None:
    async with delivery.client.get("/metrics") as response:
        assert "brh_deliveries_in_flight" in await response.text()
    assert delivery.looks == [None]
    for path in ("/", "/livez/x", "/table", "/readyz/"):
        async with delivery.client.get(path) as response:
            assert response.status == 404


@pytest_asyncio.fixture
async def bridge() -> AsyncIterator[Bridge]:
    """A bridge's server; not ready."""
    reasons, bind = ["lanes are closed: brh.headers"], f"127.0.0.1:{free_port()}"
    async with (
        Health(bind, lambda: "".join(reasons), Exposition(Kind.BRIDGE)),
        ClientSession(f"http://{bind}") as client,
    ):
        yield Bridge(client, reasons)


async def test_a_bridge_says_why_it_is_not_ready(bridge: Bridge) -> None:
    status, problem = await answer(bridge.client, "/readyz")
    assert (status, problem["detail"]) == (503, "lanes are closed: brh.headers")
    bridge.reasons.clear()
    assert await answer(bridge.client, "/readyz") == (200, {"status": "ready"})
    assert [(await answer(bridge.client, path))[0] for path in ("/livez", "/version")] == [200, 200]


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/"])
async def test_every_answer_keeps_browsers_on_the_safe_side(bridge: Bridge, delivery: Delivery, path: str) -> None:
    for client in (bridge.client, delivery.client):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            async with client.request(method, path) as response:
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; frame-ancestors")
                assert "Server" not in response.headers
                assert not [name for name in response.headers if name.lower().startswith("access-control-")]
