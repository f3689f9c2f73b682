"""Lanes and the whole product over TLS, with a password or a certificate as identity, on a broker that takes both."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import pytest

from bridge.lane import LaneClosed
from bridge.layout import MIB
from streams.stack import ports
from tests.support.certificates import Authority, Certificate
from tests.support.lane_reader import Reader, WatchedMemory, declare, digests_of, open_lane, publish
from tests.support.management import VirtualHost
from tests.support.outside import Chunks, assert_completed
from tests.support.outside import publish as publish_transaction
from tests.support.own_broker import SHIPPED_LIMITS, OwnBroker
from tests.support.scripted_broker import eventually
from tests.support.tls_front import tls_front
from tests.support.world import World, until

SIZES = [0, 1, 200_000, MIB, 8 * MIB + 1, 20 * MIB]
USER = "brh-client"
LIMITS = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {server.certificate}
ssl_options.keyfile = {server.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
ssl_cert_login_from = common_name
"""


class Installation:
    """A broker with TLS, and how to get in."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "tls")
        self.client = self.authority.sign(USER)
        self.stranger = self.authority.sign("stranger")
        self._port = ports.choose(["tls"])["tls"]
        server = self.authority.sign("server", "IP:127.0.0.1")
        limits = LIMITS.format(port=self._port, authority=self.authority.certificate, server=server)
        self.broker = OwnBroker(folder, SHIPPED_LIMITS + limits, plugins=("rabbitmq_auth_mechanism_ssl",))

    def up(self) -> None:
        self.broker.up()
        self.broker.ctl("add_user", USER, uuid4().hex)
        self.broker.ctl("clear_password", USER)  # nothing but its certificate lets it in

    def url(self, vhost: str, *, client: Certificate | None = None, trust: Path | None = None) -> str:
        """With `client` as the identity, or a password."""
        plain = urlsplit(self.broker.env["BRH_AMQP_URL"])
        who = USER if client else f"{plain.username}:{plain.password}"
        query = f"cafile={trust or self.authority.certificate}"
        if client:
            query += f"&auth=external&certfile={client.certificate}&keyfile={client.key}"
        return urlunsplit(("amqps", f"{who}@127.0.0.1:{self._port}", f"/{quote(vhost, safe='')}", query, ""))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("broker"))
    try:
        installation.up()
        yield installation
    finally:
        installation.broker.down()


@pytest.fixture
def vhost(installation: Installation) -> Iterator[VirtualHost]:
    """For both users."""
    vhost = VirtualHost(installation.broker.env, f"t{uuid4().hex[:10]}")
    vhost.make()
    installation.broker.ctl("set_permissions", "-p", vhost.name, USER, ".*", ".*", ".*")
    yield vhost
    vhost.drop()


@pytest.mark.parametrize("by", ["password", "certificate"])
async def test_bodies_arrive_over_tls_for_whoever_can_prove_who_he_is(
    installation: Installation, vhost: VirtualHost, by: str
) -> None:
    client = installation.client if by == "certificate" else None
    url = installation.url(vhost.name, client=client)
    reader = Reader(WatchedMemory(24 * MIB))
    await declare(url, "queue")
    await publish(url, "queue", SIZES)
    lane = await open_lane(url, "queue", reader, name=f"by {by}")
    await eventually(lambda: len(reader.digests) == len(SIZES), 60)
    assert reader.digests == digests_of(SIZES)

    def seen() -> dict[str, object] | None:
        found = vhost.ask("GET", f"/api/vhosts/{vhost.name}/connections")
        return next(
            (each for each in found if each.get("client_properties", {}).get("connection_name") == lane_name), None
        )

    lane_name = f"by {by}"
    connection = await asyncio.to_thread(until, seen, 30, "the broker's view of the lane")
    mechanism, user = ("EXTERNAL", USER) if client else ("PLAIN", "brh")
    assert (connection["auth_mechanism"], connection["user"], connection["ssl"]) == (mechanism, user, True)
    await lane.close()
    await reader.finished()


async def test_a_certificate_of_somebody_unknown_is_refused(installation: Installation, vhost: VirtualHost) -> None:
    with pytest.raises(LaneClosed, match="ACCESS_REFUSED") as caught:
        await open_lane(installation.url(vhost.name, client=installation.stranger), "queue", Reader(WatchedMemory(MIB)))
    assert caught.value.code == 403


async def test_without_a_certificate_nobody_gets_in_by_one(installation: Installation, vhost: VirtualHost) -> None:
    url = installation.url(vhost.name)
    with pytest.raises(LaneClosed) as caught:
        await open_lane(f"{url}&auth=external", "queue", Reader(WatchedMemory(MIB)))
    assert caught.value.code == 403


async def test_a_broker_that_takes_no_certificates_is_told_none(stack_env: dict[str, str]) -> None:
    with pytest.raises(LaneClosed, match="not EXTERNAL") as caught:
        await open_lane(f"{stack_env['BRH_AMQP_URL']}?auth=external", "queue", Reader(WatchedMemory(MIB)))
    assert caught.value.code == 403


async def test_a_broker_of_another_authority_is_told_nothing(
    installation: Installation, vhost: VirtualHost, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other").certificate
    with pytest.raises(ssl.SSLCertVerificationError):
        await open_lane(installation.url(vhost.name, trust=other), "queue", Reader(WatchedMemory(MIB)))


async def test_a_certificate_of_ours_that_is_over_lets_nobody_in(
    installation: Installation, vhost: VirtualHost
) -> None:
    over = installation.authority.sign(USER, expired=True)
    with pytest.raises((LaneClosed, OSError)):
        await open_lane(installation.url(vhost.name, client=over), "queue", Reader(WatchedMemory(MIB)))


@pytest.mark.parametrize("over", [False, True])
async def test_a_broker_whose_certificate_is_over_is_told_nothing(
    installation: Installation, vhost: VirtualHost, over: bool
) -> None:
    """By the lane, and by the library that publishes; with one that is not over, both get in at the same address."""
    await declare(installation.url(vhost.name), "queue")
    certificate = installation.authority.sign("front", "IP:127.0.0.1", expired=over)
    plain = urlsplit(installation.broker.env["BRH_AMQP_URL"])
    async with tls_front(certificate, plain.port or 0) as port:
        address = urlsplit(installation.url(vhost.name))
        url = urlunsplit(address._replace(netloc=f"{plain.username}:{plain.password}@127.0.0.1:{port}"))
        if over:
            with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
                await open_lane(url, "queue", Reader(WatchedMemory(MIB)))
            with pytest.raises(OSError, match="expired"):
                await aio_pika.connect(url)
        else:
            lane = await open_lane(url, "queue", Reader(WatchedMemory(MIB)))
            await lane.close()
            await (await aio_pika.connect(url)).close()


async def test_a_virtual_host_may_have_any_name(installation: Installation) -> None:
    vhost = f"a/b c+d {uuid4().hex[:6]}"
    installation.broker.ctl("add_vhost", vhost)
    installation.broker.ctl("set_permissions", "-p", vhost, "brh", ".*", ".*", ".*")
    url = installation.url(vhost)
    reader = Reader(WatchedMemory(24 * MIB))
    await declare(url, "queue")
    await publish(url, "queue", [5])
    lane = await open_lane(url, "queue", reader)
    await eventually(lambda: reader.digests)
    assert reader.digests == digests_of([5])
    await lane.close()
    installation.broker.ctl("delete_vhost", vhost)


@pytest.mark.timeout(240)
async def test_the_whole_product_works_with_a_certificate_as_its_only_identity(
    installation: Installation, stack_env: dict[str, str], tmp_path: Path
) -> None:
    broker = installation.broker
    world = World(
        {**stack_env, **broker.env, "BRH_AMQP_URL": installation.url("x", client=installation.client)}, tmp_path
    )
    try:
        await asyncio.to_thread(world.start)
        transaction = f"T-{uuid4().hex[:12]}"
        series = {"s": Chunks(transaction, [9 * MIB, 1_000, 300_000, 0])}
        await publish_transaction(world, transaction, series)
        await assert_completed(world, transaction, series)
    finally:
        await asyncio.to_thread(world.stop)
