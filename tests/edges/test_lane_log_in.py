"""From a connection to a consumer: what is refused, what is agreed on, and what is no broker at all."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from pamqp import commands, frame
from pamqp.base import Frame
from pydantic import SecretStr

from bridge import lane as module
from bridge.amqp_address import AmqpAddress
from bridge.frames import FRAME_MAX_BYTES
from bridge.lane import Lane, LaneClosed
from tests.support.scripted_broker import Inbox, ScriptedBroker, eventually, message

BODY = bytes(range(251)) * 5_000


async def test_a_lane_logs_in_and_consumes() -> None:
    async with ScriptedBroker() as broker:
        lane = await broker.open_lane(Inbox())
        (start_ok,) = broker.told(commands.Connection.StartOk)
        assert (start_ok.mechanism, start_ok.response) == ("PLAIN", "\0me\0secret")
        assert start_ok.client_properties["connection_name"] == "lane"
        assert start_ok.client_properties["capabilities"]["consumer_cancel_notify"] is True
        assert [method.virtual_host for method in broker.told(commands.Connection.Open)] == ["brh"]
        assert [method.prefetch_count for method in broker.told(commands.Basic.Qos)] == [10]
        (consume,) = broker.told(commands.Basic.Consume)
        assert (consume.queue, consume.no_ack, consume.exclusive) == ("queue", False, False)
        assert not lane.closed
        await lane.close()


async def test_messages_that_come_with_the_consumer_are_taken() -> None:
    async with ScriptedBroker() as broker:
        inbox = Inbox()
        consume_ok = frame.marshal(commands.Basic.ConsumeOk("lane"), 1)
        broker.replies[commands.Basic.Consume] = b"".join([consume_ok, *message(1, b"at once"), *message(2, BODY)])
        lane = await broker.open_lane(inbox)
        await eventually(lambda: inbox.has(2))
        await lane.close()


async def test_a_certificate_is_an_identity_where_the_broker_takes_it() -> None:
    async with ScriptedBroker() as broker:
        lane = await broker.open_lane(Inbox(), "auth=external")
        (start_ok,) = broker.told(commands.Connection.StartOk)
        assert (start_ok.mechanism, start_ok.response) == ("EXTERNAL", "")
        await lane.close()


async def test_a_mechanism_that_the_broker_does_not_offer_is_not_tried() -> None:
    async with ScriptedBroker(mechanisms="AMQPLAIN PLAIN") as broker:
        with pytest.raises(LaneClosed, match=r"AMQPLAIN PLAIN, not EXTERNAL") as caught:
            await broker.open_lane(Inbox(), "auth=external")
        assert caught.value.code == 403
        assert broker.methods == []


@pytest.mark.parametrize(
    ("at", "refusal", "code"),
    [
        (commands.Connection.StartOk, commands.Connection.Close(403, "ACCESS_REFUSED - login", 0, 0), 403),
        (commands.Connection.Open, commands.Connection.Close(530, "NOT_ALLOWED - vhost", 10, 40), 530),
        (commands.Connection.Open, commands.Connection.Close(541, "INTERNAL_ERROR", 10, 40), 541),
        (commands.Channel.Open, commands.Connection.Close(504, "CHANNEL_ERROR", 20, 10), 504),
        (commands.Basic.Qos, commands.Connection.Close(540, "NOT_IMPLEMENTED", 60, 10), 540),
        (commands.Basic.Consume, commands.Channel.Close(404, "NOT_FOUND - no queue", 60, 20), 404),
        (commands.Basic.Consume, commands.Channel.Close(403, "ACCESS_REFUSED - queue", 60, 20), 403),
    ],
)
async def test_a_refusal_is_what_the_caller_sees_and_is_acknowledged(
    at: type[Frame], refusal: commands.Connection.Close | commands.Channel.Close, code: int
) -> None:
    async with ScriptedBroker() as broker:
        broker.replies[at] = refusal
        with pytest.raises(LaneClosed, match=refusal.reply_text) as caught:
            await broker.open_lane(Inbox())
        assert caught.value.code == code
        await eventually(lambda: broker.gone)
        answer = (
            commands.Channel.CloseOk if isinstance(refusal, commands.Channel.Close) else commands.Connection.CloseOk
        )
        assert isinstance(broker.methods[-1], answer)


async def test_another_reply_than_the_one_that_is_due_ends_the_lane() -> None:
    async with ScriptedBroker() as broker:
        broker.replies[commands.Channel.Open] = commands.Basic.QosOk()
        with pytest.raises(LaneClosed, match=r"Basic.QosOk came in place of Channel.OpenOk"):
            await broker.open_lane(Inbox())
        await eventually(lambda: broker.gone)


@pytest.mark.parametrize(
    "greeting", [b"AMQP\x00\x00\x09\x01", b"AMQP\x03\x01\x00\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
async def test_what_speaks_another_protocol_is_no_broker(greeting: bytes) -> None:
    async with ScriptedBroker() as broker:
        broker.greeting = greeting
        with pytest.raises(LaneClosed, match="frame"):
            await broker.open_lane(Inbox())
        await eventually(lambda: broker.gone)


@pytest.mark.parametrize("silent_at", [None, commands.Connection.StartOk, commands.Basic.Consume])
async def test_a_broker_that_says_nothing_is_given_up(
    silent_at: type[Frame] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_TIMEOUT_S", 0.3)
    async with ScriptedBroker() as broker:
        if silent_at is None:
            broker.greeting = None
        else:
            broker.replies[silent_at] = None
        with pytest.raises(TimeoutError):
            await broker.open_lane(Inbox())
        await eventually(lambda: broker.gone == broker.connections)  # 0 where the machine is that slow


async def test_a_broker_that_goes_away_during_log_in_is_lost() -> None:
    async with ScriptedBroker() as broker:
        broker.replies[commands.Channel.Open] = None
        opening = asyncio.create_task(broker.open_lane(Inbox()))
        await eventually(lambda: broker.told(commands.Channel.Open))
        broker.cut()
        with pytest.raises(LaneClosed, match="the broker closed the connection"):
            await opening


async def test_who_gives_up_opening_leaves_no_connection() -> None:
    async with ScriptedBroker() as broker:
        broker.replies[commands.Channel.Open] = None
        opening = asyncio.create_task(broker.open_lane(Inbox()))
        await eventually(lambda: broker.told(commands.Channel.Open))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await eventually(lambda: broker.gone)


async def test_nobody_there_is_an_error_of_the_system(unused_tcp_port: int) -> None:
    address = AmqpAddress.parse(SecretStr(f"amqp://127.0.0.1:{unused_tcp_port}/"))
    with pytest.raises(ConnectionRefusedError):
        await Lane.open(address, "queue", prefetch=1, accept=Inbox().accept, name="lane")


# What is agreed on


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(0, FRAME_MAX_BYTES), (8_192, 8_192), (FRAME_MAX_BYTES, FRAME_MAX_BYTES), (1 << 20, FRAME_MAX_BYTES)],
)
async def test_frames_are_as_large_as_both_can_take_and_bodies_in_them_arrive(offered: int, agreed: int) -> None:
    async with ScriptedBroker(frame_max=offered) as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox)
        assert [method.frame_max for method in broker.told(commands.Connection.TuneOk)] == [agreed]
        broker.send(*message(1, BODY, agreed - 8), *message(2, b"next"))
        await eventually(lambda: inbox.has(2))
        assert [bytes(each.bytes) for each in inbox.bodies] == [BODY, b"next"]
        await lane.close()


@pytest.mark.parametrize(("offered", "agreed"), [(8_192, 8_192), (0, FRAME_MAX_BYTES), (1 << 20, FRAME_MAX_BYTES)])
async def test_a_frame_that_is_larger_than_agreed_closes_the_lane_and_its_body_is_lost(
    offered: int, agreed: int
) -> None:
    async with ScriptedBroker(frame_max=offered) as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox)
        broker.send(*message(1, b"whole"), *message(2, BODY, agreed - 7))
        why = await lane.wait_closed()
        assert str(why) == f"a frame of {agreed + 1} bytes is larger than negotiated, which is {agreed}"
        await eventually(lambda: broker.gone)
        assert [(each.whole, each.lost is why) for each in inbox.bodies] == [(True, False), (False, True)]
        assert broker.settled == []


@pytest.mark.parametrize(
    ("offered", "wished", "agreed"), [(60, 30, 30), (30, 60, 30), (0, 60, 60), (60, 0, 0), (0, 0, 0), (60, 60, 60)]
)
async def test_the_shorter_heartbeat_counts_and_none_when_we_wish_for_none(
    offered: int, wished: int, agreed: int
) -> None:
    async with ScriptedBroker(heartbeat_s=offered) as broker:
        lane = await broker.open_lane(Inbox(), f"heartbeat={wished}")
        assert [method.heartbeat for method in broker.told(commands.Connection.TuneOk)] == [agreed]
        await lane.close()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, signed by itself; with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key, signed = path.with_name("key.pem"), path.with_name("certificate.pem")
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", "req", "-x509", *ec, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", signed],
        check=True,
        capture_output=True,
    )
    path.write_text(key.read_text() + signed.read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """The broker's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_bodies_arrive_over_tls_also_when_the_reader_stalls(certificate: Path, tls: ssl.SSLContext) -> None:
    async with ScriptedBroker(tls=tls) as broker:
        inbox = Inbox()
        lane = await broker.open_lane(inbox, f"heartbeat=0&cafile={certificate}", scheme="amqps")
        inbox.stalls = True
        broker.send(*message(1, BODY), *message(2, BODY), *message(3, b"next"))
        await eventually(lambda: inbox.bodies)
        for _ in range(50):
            await asyncio.sleep(0)
        assert inbox.bodies[0].at == 0
        inbox.stalls = False
        lane.proceed()
        await eventually(lambda: inbox.has(3))
        assert [bytes(each.bytes) for each in inbox.bodies] == [BODY, BODY, b"next"]
        await lane.close()


async def test_a_broker_that_cannot_prove_who_it_is_is_told_nothing(tls: ssl.SSLContext) -> None:
    async with ScriptedBroker(tls=tls) as broker:
        with pytest.raises(ssl.SSLCertVerificationError):
            await broker.open_lane(Inbox(), scheme="amqps")
        assert broker.methods == []
