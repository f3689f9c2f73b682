"""A broker whose certificate is for another name, or whose TLS is old, is told nothing, and we say what is wrong.

There is no broker here. Who refuses does so before the first byte, and who does not is heard beginning to speak.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

from bridge.amqp_address import AmqpAddress
from bridge.facts import Facts
from bridge.lane import Lane, LaneClosed
from bridge.notices import Notices
from bridge.settings import BridgeSettings
from streams.cli.errors import CliError
from streams.cli.setup import _reached
from streams.provision import provision_kafka, provision_rabbitmq
from streams.settings import ClientSettings
from streams.topics import Topics
from tests.support.certificates import Authority

SECRET: Final = "s3cret"
NOT_OURS: Final = "certificate is not valid for '127.0.0.1'"
OURS: Final = ("elsewhere.example", "DNS:elsewhere.example,IP:127.0.0.1")
OTHERS: Final = {
    "another host": ("elsewhere.example", "DNS:elsewhere.example"),
    "another address": ("elsewhere.example", "IP:127.0.0.2"),
    "an address as a host": ("elsewhere.example", "DNS:127.0.0.1"),
    "a common name only": ("127.0.0.1", ""),
}
"""The common name of a certificate, and what else it is for."""


def amqp(port: int, authority: Authority) -> SecretStr:
    return SecretStr(f"amqps://brh:{SECRET}@127.0.0.1:{port}/x?cafile={authority.certificate}&heartbeat=10")


def kafka(port: int, authority: Authority) -> dict[str, object]:
    return {
        "kafka_bootstrap": f"127.0.0.1:{port}",
        "kafka_security_protocol": "SASL_SSL",
        "kafka_security_ca_file": authority.certificate,
        "kafka_security_user": "brh",
        "kafka_security_password": SecretStr(SECRET),
    }


async def lane(port: int, authority: Authority) -> None:
    address = AmqpAddress.parse(amqp(port, authority))
    await Lane.open(address, "queue", prefetch=1, accept=lambda _: pytest.fail("a message came"), name="lane")


async def publisher(port: int, authority: Authority) -> None:
    async with await aio_pika.connect(amqp(port, authority).get_secret_value()):
        pass


async def notices(port: int, authority: Authority) -> None:
    async with Notices(amqp(port, authority), "notices"):
        pass


async def setup_rabbitmq(port: int, authority: Authority) -> None:
    await _reached("RabbitMQ", "BRH_AMQP_URL", provision_rabbitmq(ClientSettings(amqp_url=amqp(port, authority))))


async def facts(port: int, authority: Authority) -> None:
    async with Facts(BridgeSettings(**kafka(port, authority))):
        pass


async def setup_kafka(port: int, authority: Authority) -> None:
    settings = ClientSettings(**kafka(port, authority))
    await _reached("Kafka", "BRH_KAFKA_BOOTSTRAP", provision_kafka(settings, Topics("x", 4)))


Client = Callable[[int, Authority], Awaitable[None]]
CLIENTS: Final[list[Client]] = [lane, publisher, notices, setup_rabbitmq, facts, setup_kafka]
ERRORS: Final = (ssl.SSLCertVerificationError, AMQPError, LaneClosed, CliError, KafkaConnectionError, OSError)


async def with_old_tls(port: int, authority: Authority) -> None:
    """Somebody who takes what no client of ours does."""
    context = old(ssl.create_default_context(cafile=authority.certificate))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"A")
    await reader.read()
    writer.close()
    raise ConnectionError("it went well")


def old(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same, with TLS 1.1 at most."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which is the point
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


async def speak(
    client: Client,
    certificate_for: tuple[str, str],
    folder: Path,
    change: Callable[[ssl.SSLContext], ssl.SSLContext] = lambda context: context,
) -> tuple[bytes, str]:
    """What a broker with such a certificate hears first, and what its client says."""
    authority = Authority(folder)
    context = change(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    context.load_cert_chain(*authority.sign(*certificate_for))
    heard = b""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0, ssl=context) as server:
        port: int = server.sockets[0].getsockname()[1]
        with pytest.raises(ERRORS) as caught:
            async with asyncio.timeout(20):
                await client(port, authority)
    return heard, str(caught.value)


@pytest.mark.parametrize("certificate_for", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
async def test_who_has_a_certificate_for_another_name_is_told_nothing(
    client: Client,
    certificate_for: tuple[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard, said = await speak(client, certificate_for, tmp_path)
    assert heard == b""
    # Of Kafka it is the log that says why: its client raises no more than that it could not connect.
    assert NOT_OURS in (f"{said}{caplog.text}" if client in (facts, setup_kafka) else said)
    assert SECRET not in f"{said}{caplog.text}"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
async def test_who_has_a_certificate_for_the_name_we_asked_for_is_spoken_to(client: Client, tmp_path: Path) -> None:
    heard, said = await speak(client, OURS, tmp_path)
    assert heard == (b"\0" if client in (facts, setup_kafka) else b"A")
    assert "certificate" not in said


@pytest.mark.parametrize("client", [*CLIENTS, with_old_tls], ids=lambda client: client.__name__)
async def test_nobody_of_ours_speaks_an_older_tls_than_1_2(client: Client, tmp_path: Path) -> None:
    heard, _ = await speak(client, OURS, tmp_path, old)
    assert heard == (b"A" if client is with_old_tls else b"")
