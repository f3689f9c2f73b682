"""Dead letters put back on the real broker: as they were, once a run, and never lost on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from click.testing import CliRunner, Result
from pydantic import SecretStr

from bridge.publishing import Publishing
from bridge.settings import AmqpSettings
from streams.cli import brh
from streams.cli.relay import PIECE_BYTES as PIECE
from streams.cli.relay import Relay
from streams.provision import provision_rabbitmq
from tests.support.management import VirtualHost
from tests.support.outside import payload_message

MIB = 1 << 20
QUEUES = {"payload": "brh.payloads", "small": "brh.payloads.small", "header": "brh.headers"}
WAIT_S = 60


@pytest.fixture
def host(stack_env: dict[str, str]) -> Iterator[VirtualHost]:
    host = VirtualHost(stack_env, f"t{uuid4().hex[:10]}")
    host.make()
    asyncio.run(provision_rabbitmq(AmqpSettings(amqp_url=SecretStr(host.url))))
    yield host
    host.drop()


def on(host: VirtualHost, do: Callable[[AbstractChannel], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with await aio_pika.connect(host.url) as connection:
            return await do(await connection.channel(publisher_confirms=True, on_return_raises=True))

    return asyncio.run(run())


def put_aside(host: VirtualHost, *messages: tuple[str, aio_pika.Message]) -> None:
    """Publish messages to `brh.in`, and refuse each as a bridge does."""

    async def do(channel: AbstractChannel) -> None:
        exchange = await channel.get_exchange("brh.in")
        for key, message in messages:
            await exchange.publish(message, key)
            got = await (await channel.get_queue(QUEUES[key.partition(".")[0]])).get()
            assert got is not None
            await got.reject(requeue=False)

    before = depth(host, "brh.rejected")
    on(host, do)
    until(host, "brh.rejected", before + len(messages))


def depth(host: VirtualHost, queue: str) -> int:
    async def do(channel: AbstractChannel) -> int:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    found: int = on(host, do)
    return found


def until(host: VirtualHost, queue: str, wanted: int) -> None:
    async def do(channel: AbstractChannel) -> None:
        async with asyncio.timeout(WAIT_S):
            while (await channel.declare_queue(queue, passive=True)).declaration_result.message_count != wanted:
                await asyncio.sleep(0.02)

    on(host, do)


def taken(host: VirtualHost, queue: str) -> list[AbstractIncomingMessage]:
    """All messages of a queue, which is empty then."""

    async def do(channel: AbstractChannel) -> list[AbstractIncomingMessage]:
        found = []
        source = await channel.get_queue(queue)
        while (message := await source.get(fail=False)) is not None:
            found.append(message)
            await message.ack()
        return found

    messages: list[AbstractIncomingMessage] = on(host, do)
    return messages


def redrive(host: VirtualHost, *arguments: str, **settings: str) -> Result:
    return CliRunner(env={"BRH_AMQP_URL": host.url, **settings}).invoke(brh, ["dlq", "redrive", *arguments])


def reported(result: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def names(letters: list[dict[str, Any]]) -> list[str]:
    return [each["transactionId"] for each in letters]


def header(transaction: str, body: bytes) -> aio_pika.Message:
    return aio_pika.Message(
        body, type="brh.header.v1", correlation_id=transaction, content_type="application/json", delivery_mode=2
    )


def good(transaction: str, body: bytes = b"body", **headers: Any) -> aio_pika.Message:
    return payload_message(transaction, "a", 1, 2, body, **headers)


def test_what_can_be_taken_goes_back_as_it_was_and_the_rest_stays_with_its_reason(host: VirtualHost) -> None:
    wrong = "0" * 64
    body = b"x" * (3 * MIB + 7)
    right = hashlib.sha256(body).hexdigest()
    put_aside(
        host,
        ("header.x", header("H1", b'{"series": [{"type": "a"}]}')),
        ("header.x", header("H2", b"{}")),
        ("payload.a", good("T1", body, brh_sha256=right, mine=[1, {"a": 2.5}])),
        ("payload.a", good("T2", body, brh_sha256=wrong)),
        ("small.a", good("T3", b"")),
        ("small.a", good("T4", b"b", brh_sha256=wrong)),
        ("payload.a", payload_message("T5", "a", 9, 2, b"body")),
        ("payload.a", good("T6", b"x" * (PIECE + 1))),
    )
    result = redrive(host, "--all", "--json")
    assert result.exit_code == 1, result.output
    report = reported(result)
    assert (report["queue"], report["waiting"], report["more"]) == ("brh.rejected", 8, False)
    assert names(report["putBack"]) == ["H1", "T1", "T3", "T6"]
    assert {each["transactionId"]: each["problem"]["code"] for each in report["left"]} == {
        "H2": "bad-header-body",
        "T2": "digest-mismatch",
        "T4": "digest-mismatch",
        "T5": "bad-ordinal",
    }
    until(host, "brh.rejected", 4)
    (back,) = taken(host, "brh.headers")
    assert (back.correlation_id, back.body, back.content_type) == (
        "H1",
        b'{"series": [{"type": "a"}]}',
        "application/json",
    )
    (empty,) = taken(host, "brh.payloads.small")
    assert (empty.correlation_id, empty.body, empty.routing_key, empty.exchange) == ("T3", b"", "small.a", "brh.in")
    large, cut = taken(host, "brh.payloads")
    assert (large.correlation_id, large.body, cut.correlation_id, len(cut.body)) == ("T1", body, "T6", PIECE + 1)
    assert large.delivery_mode == 2
    assert {name: value for name, value in large.headers.items() if name != "x-delivery-count"} == {
        "brh_series_type": "a", "brh_ordinal": 1, "brh_total_count": 2, "brh_sha256": right, "mine": [1, {"a": 2.5}],
        "brh_redriven": 1,
    }  # fmt: skip
    again = redrive(host, "--all", "--json")
    assert (again.exit_code, names(reported(again)["putBack"]), reported(again)["leftCount"]) == (1, [], 4)
    until(host, "brh.rejected", 4)
    assert [depth(host, queue) for queue in QUEUES.values()] == [0, 0, 0]


def test_a_dry_run_says_the_same_and_does_nothing(host: VirtualHost) -> None:
    put_aside(host, ("payload.a", good("T1")), ("small.a", good("T2", brh_sha256="0" * 64)), ("payload.a", good("T3")))
    result = redrive(host, "--all", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "T1  4 bytes: would be put back" in result.stdout
    assert "(digest-mismatch)" in result.stdout
    assert "2 would be put back, 1 stay." in result.stdout
    until(host, "brh.rejected", 3)
    assert depth(host, "brh.payloads") == 0


def test_messages_are_chosen_and_a_run_has_a_limit(host: VirtualHost) -> None:
    put_aside(host, *(("payload.a", good(f"T{number}")) for number in (1, 2, 3, 3)))
    listed = json.loads(CliRunner(env={"BRH_AMQP_URL": host.url}).invoke(brh, ["dlq", "list", "--json"]).stdout)
    name = next(each["id"] for each in listed["messages"] if each["transactionId"] == "T2")
    until(host, "brh.rejected", 4)
    by_id = redrive(host, name, "--json")
    assert (by_id.exit_code, names(reported(by_id)["putBack"])) == (0, ["T2"]), by_id.output
    until(host, "brh.rejected", 3)
    gone = redrive(host, name)
    assert (gone.exit_code, "(no-message)" in gone.stderr) == (3, True)
    until(host, "brh.rejected", 3)
    none = redrive(host, "--transaction", "T3", "--code", "bad-ordinal")
    assert none.exit_code == 3
    until(host, "brh.rejected", 3)
    bound = redrive(host, "--transaction", "T3", "--limit", "1", "--json")
    assert (names(reported(bound)["putBack"]), reported(bound)["more"]) == (["T3"], True)
    until(host, "brh.rejected", 2)
    assert redrive(host, "--code", "rejected", "--transaction", "T3").exit_code == 0
    until(host, "brh.rejected", 1)
    assert [each.correlation_id for each in taken(host, "brh.payloads")] == ["T2", "T3", "T3"]


def test_what_comes_back_each_time_stays_after_the_third(host: VirtualHost) -> None:
    put_aside(host, ("payload.a", good("T1")))
    for time in (1, 2, 3, 4):
        result = redrive(host, "--all", "--json")
        if time == 4:
            assert (result.exit_code, reported(result)["left"][0]["problem"]["code"]) == (1, "redriven-often")
            break
        assert (result.exit_code, reported(result)["putBack"][0]["redriven"]) == (0, time - 1), result.output

        async def refuse(channel: AbstractChannel) -> None:
            got = await (await channel.get_queue("brh.payloads")).get()
            assert got is not None
            await got.reject(requeue=False)

        on(host, refuse)
        until(host, "brh.rejected", 1)
    until(host, "brh.rejected", 1)
    assert redrive(host, "--all", "--force").exit_code == 0
    assert taken(host, "brh.payloads")[0].headers["brh_redriven"] == 4


def test_a_limit_that_was_raised_lets_large_ones_go(host: VirtualHost) -> None:
    put_aside(host, ("payload.a", good("T1", b"x" * 2_000)))
    low = redrive(host, "--all", BRH_PAYLOAD_MAX_BYTES="1000")
    assert (low.exit_code, "(payload-too-large)" in low.stdout, "BRH_PAYLOAD_MAX_BYTES" in low.stderr) == (
        1,
        True,
        True,
    )
    until(host, "brh.rejected", 1)
    assert redrive(host, "--all").exit_code == 0
    assert len(taken(host, "brh.payloads")) == 1


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_what_the_broker_does_not_take_stays_and_the_others_go(host: VirtualHost, size: int) -> None:
    put_aside(host, ("small.a", good("T1", b"x" * size)), ("payload.a", good("T2")), ("small.a", good("T3")))

    async def unbind(channel: AbstractChannel) -> None:
        await (await channel.get_queue("brh.payloads.small")).unbind("brh.in", "small.#")

    on(host, unbind)
    result = redrive(host, "--all", "--json")
    report = reported(result)
    assert (result.exit_code, names(report["putBack"]), names(report["left"])) == (1, ["T2"], ["T1", "T3"])
    assert "NO_ROUTE" in report["left"][0]["problem"]["detail"]
    until(host, "brh.rejected", 2)


def test_an_exchange_that_is_not_there_says_what_to_do(host: VirtualHost) -> None:
    put_aside(host, ("payload.a", good("T1")))

    async def delete(channel: AbstractChannel) -> None:
        await (await channel.get_exchange("brh.in")).delete()

    on(host, delete)
    result = redrive(host, "--all")
    assert (result.exit_code, "brh setup" in result.stderr, "(amqp-refused)" in result.stderr) == (1, True, True)
    until(host, "brh.rejected", 1)


@pytest.mark.parametrize("size", [10, 4 * MIB])
@pytest.mark.parametrize("when", ["in the body", "before the confirm", "before the ack"])
def test_a_run_that_is_cut_loses_nothing(
    host: VirtualHost, monkeypatch: pytest.MonkeyPatch, when: str, size: int
) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    put_aside(host, ("payload.a", good("T0")), ("payload.a", good("T1", body)), ("payload.a", good("T2")))
    letters: list[str] = []
    finish, confirmed = Relay.finish, Publishing.confirmed

    def cut_body(self: Relay) -> None:
        letters.append("")
        if len(letters) == 2 and self._to is not None:
            self._to.abort("cut by the test")
        finish(self)

    async def cut_confirm(self: Publishing) -> None:
        letters.append("")
        if len(letters) == 2 and when == "before the confirm":
            self.abort("cut by the test")
        await confirmed(self)
        if len(letters) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if when == "in the body":
            patch.setattr(Relay, "finish", cut_body)
        else:
            patch.setattr(Publishing, "confirmed", cut_confirm)
        result = redrive(host, "--all", "--json")
    assert result.exit_code == (130 if when == "before the ack" else 4), result.output
    assert names(reported(result)["putBack"]) == ["T0"]
    until(host, "brh.rejected", 2)
    report = reported(redrive(host, "--all", "--json"))
    assert sorted(names(report["putBack"])) == ["T1", "T2"]
    found = taken(host, "brh.payloads")
    assert {each.correlation_id: each.body for each in found} == {"T0": b"body", "T1": body, "T2": b"body"}
    if when == "before the ack":
        assert len(found) == 4, "in both places, and twice then"
    assert depth(host, "brh.rejected") == 0


def test_a_process_that_is_killed_in_a_body_leaves_it_where_it_was(host: VirtualHost, tmp_path: Path) -> None:
    put_aside(host, ("payload.a", good("T1", b"x" * (64 * MIB))))
    script = (
        "import os, signal\n"
        "from streams.cli import brh\n"
        "from streams.cli.relay import Relay\n"
        "send = Relay._send\n"
        "def die(self):\n"
        "    send(self)\n"
        "    if self.moved > 40 << 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Relay._send = die\n"
        "brh(['dlq', 'redrive', '--all'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env={"BRH_AMQP_URL": host.url}, timeout=WAIT_S, check=False)
    assert done.returncode == -9
    until(host, "brh.rejected", 1)
    assert depth(host, "brh.payloads") == 0
    assert redrive(host, "--all").exit_code == 0
    assert [len(each.body) for each in taken(host, "brh.payloads")] == [64 * MIB]


def test_the_largest_message_needs_no_memory_of_its_size(host: VirtualHost) -> None:
    sha256 = hashlib.sha256(b"x" * (256 * MIB)).hexdigest()
    put_aside(host, ("payload.a", good("T1", b"x" * (256 * MIB), brh_sha256=sha256)))
    script = (
        "from pathlib import Path\n"
        "from streams.cli import brh\n"
        "brh(['dlq', 'redrive', '--all'], standalone_mode=False)\n"
        # Not getrusage: its maximum outlives exec, so it would be that of this process.
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"BRH_AMQP_URL": host.url},
        timeout=2 * WAIT_S,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "1 put back" in done.stdout) == (0, True), done.stderr
    assert int(done.stdout.split()[-1]) << 10 < 160 * MIB
    until(host, "brh.rejected", 0)
    until(host, "brh.payloads", 1)


def test_an_empty_queue_is_no_error_and_nobody_is_asked_to_guess(host: VirtualHost) -> None:
    empty = redrive(host, "--all")
    assert (empty.exit_code, empty.stdout) == (0, "brh.rejected is empty.\n")
    for arguments in ((), ("--all", "1f0c9a77d2e4"), ("--all", "--code", "bad-type"), ("--code", "nonsense")):
        assert redrive(host, *arguments).exit_code == 2
