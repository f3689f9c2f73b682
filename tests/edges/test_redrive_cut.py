"""Putting dead letters back, with a broker that ends connections and refuses messages at any place."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pamqp import commands

from bridge.contract.inbound import HEADER_TYPE, PAYLOAD_TYPE
from streams.cli import redrive as redrive_module
from streams.cli.errors import CliError
from streams.cli.put_back import Choice
from streams.cli.redrive import Redrive, Report, Wish
from streams.cli.relay import PIECE_BYTES
from tests.support.letter_broker import Cut, Letter, LetterBroker, Published, confirm

BODY = bytes(range(251)) * (3 * PIECE_BYTES // 251)
FRAMES = 26
"""Of its three pieces."""


def letter(transaction: str, content: bytes = b"body", **headers: Any) -> Letter:
    died = {
        "queue": "brh.payloads", "reason": "rejected", "exchange": "brh.in", "routing-keys": ["payload.a"],
        "time": datetime(2026, 1, 31, tzinfo=UTC), "count": 1,
    }  # fmt: skip
    payload = {"brh_series_type": "a", "brh_ordinal": 1, "brh_total_count": 2, "x-death": [died], **headers}
    return Letter({"message_type": PAYLOAD_TYPE, "correlation_id": transaction, "headers": payload}, content)


async def run(broker: LetterBroker, choice: Choice | None = None, **changes: Any) -> Report:
    report = Report("brh.rejected", len(broker.letters), changes.get("dry_run", False))
    wish = Wish(choice or Choice(), 100, False, False, 1 << 28)._replace(**changes)
    await Redrive(broker.address(), wish, report).run()
    return report


def transactions(letters: list[Published]) -> list[str | None]:
    return [each.properties.correlation_id for each in letters]


async def test_letters_go_one_after_the_other_and_are_acknowledged_behind_their_confirm() -> None:
    letters = [letter("T1"), letter("T2", BODY), letter("T3", b"")]
    async with LetterBroker(*letters) as broker:
        at_confirm: list[int] = []

        def answer(_: Published) -> list[Any]:
            at_confirm.append(len(broker.acked))
            return [commands.Basic.Ack(1)]

        broker.answer = answer
        report = await run(broker)
        assert [each.transaction_id for each in report.put_back] == ["T1", "T2", "T3"]
        assert [each.content for each in broker.published] == [b"body", BODY, b""]
        assert {(each.exchange, each.routing_key) for each in broker.published} == {("brh.in", "payload.a")}
        assert (at_confirm, broker.acked) == ([0, 1, 2], letters)


@pytest.mark.parametrize("cut_at", range(1, FRAMES + 1))
async def test_wherever_publishing_is_cut_the_letter_stays_and_goes_the_next_time(cut_at: int) -> None:
    async with LetterBroker(letter("T0"), letter("T1", BODY), letter("T2")) as broker:
        broker.cut_at = 1 + cut_at
        if cut_at == FRAMES:
            broker.cut_at, broker.answer = None, lambda done: unconfirmed(broker, done)
        report = Report("brh.rejected", 3, False)
        wish = Wish(Choice(), 100, False, False, 1 << 28)
        with pytest.raises(CliError) as raised:
            await Redrive(broker.address(), wish, report).run()
        assert (raised.value.code, raised.value.exit_code) == ("amqp-lost", 4)
        assert [each.transaction_id for each in report.put_back] == ["T0"]
        await waiting(broker, 2)
        assert transactions(broker.published) == ["T0", "T1"][: 1 + (cut_at == FRAMES)]
        broker.cut_at, broker.answer = None, confirm
        assert len((await run(broker)).put_back) == 2
        found = {each.properties.correlation_id: each.content for each in broker.published}
        assert found == {"T0": b"body", "T1": BODY, "T2": b"body"}
        assert not broker.letters


def unconfirmed(broker: LetterBroker, done: Published) -> list[Any]:
    """The broker has it, and ends before it says so."""
    if done.properties.correlation_id != "T1":
        return confirm(done)
    broker.published.append(done)
    return [Cut]


async def waiting(broker: LetterBroker, count: int) -> None:
    async with asyncio.timeout(60):
        while len(broker.letters) < count:
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("content", [b"body", BODY], ids=["small", "large"])
@pytest.mark.parametrize(
    "answer",
    [
        [commands.Basic.Nack(1)],
        [commands.Basic.Return(312, "NO_ROUTE", "brh.in", "payload.a"), commands.Basic.Ack(1)],
        [commands.Channel.Close(406, "PRECONDITION_FAILED - message size is larger", 0, 0)],
    ],
    ids=["nack", "return", "close"],
)
async def test_one_that_is_not_taken_stays_and_the_next_goes(answer: list[Any], content: bytes) -> None:
    async with LetterBroker(letter("T1", content), letter("T2")) as broker:
        broker.answer = lambda done: answer if done.properties.correlation_id == "T1" else [commands.Basic.Ack(1)]
        report = await run(broker)
        assert [each.transaction_id for each in report.put_back] == ["T2"]
        (left,) = report.left
        assert left.problem is not None
        assert (left.transaction_id, left.problem.code) == ("T1", "not-taken")
        await waiting(broker, 1)
        assert [each.properties["correlation_id"] for each in broker.letters] == ["T1"]


async def test_an_exchange_that_is_not_there_ends_the_run_with_its_remedy() -> None:
    async with LetterBroker(letter("T1"), letter("T2")) as broker:
        broker.answer = lambda _: [commands.Channel.Close(404, "NOT_FOUND - no exchange 'brh.in'", 0, 0)]
        with pytest.raises(CliError) as raised:
            await run(broker)
        assert (raised.value.code, raised.value.exit_code) == ("amqp-refused", 1)
        await waiting(broker, 2)


@pytest.mark.parametrize("content", [b"body", BODY], ids=["small", "large"])
async def test_a_body_with_another_digest_never_becomes_a_message(content: bytes) -> None:
    async with LetterBroker(letter("T1", content, brh_sha256="0" * 64), letter("T2")) as broker:
        report = await run(broker)
        assert transactions(broker.published) == ["T2"]
        assert [each.problem and each.problem.code for each in report.left] == ["digest-mismatch"]
        await waiting(broker, 1)
        forced = await run(broker, force=True)
        assert ([each.transaction_id for each in forced.put_back], broker.published[1].content) == (["T1"], content)


async def test_a_header_is_read_before_it_goes() -> None:
    died = letter("T1").properties["headers"]["x-death"][0] | {"queue": "brh.headers", "routing-keys": ["header.x"]}

    def header(content: bytes) -> Letter:
        properties = {"message_type": HEADER_TYPE, "correlation_id": "T1", "content_type": "application/json"}
        return Letter({**properties, "headers": {"x-death": [died]}}, content)

    async with LetterBroker(header(b'{"series": []}'), header(b'{"series": [{"type": "a"}]}')) as broker:
        report = await run(broker)
        assert [each.content for each in broker.published] == [b'{"series": [{"type": "a"}]}']
        assert broker.published[0].routing_key == "header.x"
        assert [each.problem and each.problem.code for each in report.left] == ["bad-header-body"]


async def test_what_comes_back_while_a_run_goes_on_is_left_to_the_next_one() -> None:
    async with LetterBroker(letter("T1"), letter("T2")) as broker:

        def refuse_again(done: Published) -> list[Any]:
            headers = done.properties.headers or {}
            again = letter(done.properties.correlation_id or "", done.content, brh_redriven=headers["brh_redriven"])
            broker.letters.append(again)
            return [commands.Basic.Ack(1)]

        broker.answer = refuse_again
        for round_number in (1, 2, 3):
            assert len((await run(broker)).put_back) == 2
            assert {(each.properties.headers or {})["brh_redriven"] for each in broker.published[-2:]} == {round_number}
            await waiting(broker, 2)
        last = await run(broker)
        assert (last.put_back, [each.problem and each.problem.code for each in last.left]) == (
            [],
            ["redriven-often"] * 2,
        )


async def test_a_dry_run_publishes_nothing_and_knows_the_digests() -> None:
    async with LetterBroker(letter("T1", BODY, brh_sha256="0" * 64), letter("T2")) as broker:
        report = await run(broker, dry_run=True)
        assert [each.transaction_id for each in report.put_back] == ["T2"]
        assert [each.problem and each.problem.code for each in report.left] == ["digest-mismatch"]
        assert (broker.published, broker.acked, broker.connections) == ([], [], 1)
        await waiting(broker, 2)


async def test_a_broker_that_says_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive_module, "STILL_MAX_S", 0.5)
    async with LetterBroker(letter("T1")) as broker:
        broker.answer = lambda _: []
        with pytest.raises(CliError) as raised:
            await run(broker)
        assert raised.value.code == "amqp-still"
        await waiting(broker, 1)


async def test_a_run_that_is_interrupted_holds_nothing_back() -> None:
    async with LetterBroker(letter("T1"), letter("T2")) as broker:
        broker.answer = lambda done: [] if done.properties.correlation_id == "T2" else [commands.Basic.Ack(1)]
        task = asyncio.create_task(run(broker))
        async with asyncio.timeout(60):
            while len(broker.acked) < 1 or len(broker.letters):
                await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await waiting(broker, 1)
