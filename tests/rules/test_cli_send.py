"""What `brh send` puts on the wire keeps the contract, as the bridge reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode, encode

from bridge.contract.inbound import HeaderMessage, PayloadMessage, SeriesSpec
from bridge.envelope import Properties, parse_header, parse_payload
from streams.cli import brh
from streams.cli.errors import CliError
from streams.cli.judged import judge
from streams.cli.payloads import FileSource, Int64, Payload, check, header_message, payload_message, payloads, plan
from streams.cli.producer import send


class Sized:
    """A source of which only the numbers matter."""

    def __init__(self, total_count: int = 1) -> None:
        self.size = total_count
        self.total_count = total_count

    def chunk(self, ordinal: int) -> bytes:
        return b"x"


def properties(message: Any) -> Properties:
    names = ("type", "correlation_id", "content_type", "content_encoding", "message_id", "app_id", "reply_to")
    # Through the encoder and back, so that the bridge's parser sees what arrives.
    headers = decode.field_table(encode.field_table(dict(message.headers)))[1]
    return Properties(**{name: getattr(message, name) for name in names}, headers=headers)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 40_000, 70_000, 3_000_000_000, 2**63 - 1])
def test_integers_are_always_64_bit(value: int) -> None:
    encoded = encode.field_table({"n": Int64(value)})
    assert encoded[4:] == b"\x01n" + b"l" + value.to_bytes(8, "big")
    assert encode.field_table({"n": 1})[6:7] == b"b", "pamqp has changed: the class may not be needed any more"


def test_the_bridge_takes_our_payloads() -> None:
    body = b"some bytes"
    read = parse_payload(properties(payload_message("T1", Payload("a.b", 2, 1), 3, body)), len(body))
    assert isinstance(read, PayloadMessage)
    assert (read.transaction, read.series, read.ordinal, read.total_count) == ("T1", "a.b", 2, 3)
    assert read.sha256 is not None


def test_the_bridge_takes_our_header() -> None:
    message = header_message("T1", "valuation", {"a": 3, "empty": 0})
    read = parse_header(properties(message), message.body)
    assert isinstance(read, HeaderMessage)
    assert read.header.transaction_type == "valuation"
    assert read.header.series == (SeriesSpec("a", 3), SeriesSpec("empty", 0))


def test_a_header_that_is_sent_again_is_the_same_value() -> None:
    first, second = (header_message("T1", "default", {"a": 3}) for _ in range(2))
    assert first.body == second.body


def test_messages_are_persistent_and_told_apart() -> None:
    first, second = (payload_message("T1", Payload("a", 1, copy), 1, b"") for copy in (1, 2))
    assert first.message_id != second.message_id
    assert {first.delivery_mode, header_message("T1", "default", {}).delivery_mode} == {2}


def test_a_payload_above_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.cli.payloads.PAYLOAD_MAX_BYTES", 3)
    with pytest.raises(CliError) as caught:
        payload_message("T1", Payload("a", 1, 1), 1, b"four")
    assert caught.value.code == "contract"


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 30), min_size=1),
    st.none() | st.integers(0, 2**32),
    st.floats(0, 1),
)
def test_every_payload_is_sent_and_the_share_of_duplicates_twice(
    counts: dict[str, int], shuffle: int | None, share: float
) -> None:
    order = plan(counts, shuffle, share)
    sent = Counter((each.series, each.ordinal) for each in payloads(order, counts))
    assert set(sent) == {(name, ordinal) for name, count in counts.items() for ordinal in range(1, count + 1)}
    assert sum(count - 1 for count in sent.values()) == round(share * sum(counts.values()))
    assert plan(counts, shuffle, share) == order
    copies = list(payloads(order, counts))
    assert len(set(copies)) == len(copies), "copies are numbered, so that each message has its own id"


def test_without_shuffle_the_order_is_natural() -> None:
    sent = [
        (each.series, each.ordinal)
        for each in payloads(plan({"a": 2, "e": 0, "b": 1}, None, 0), {"a": 2, "e": 0, "b": 1})
    ]
    assert sent == [("a", 1), ("a", 2), ("b", 1)]


def test_a_file_is_its_chunks(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)))
    source = FileSource(path, 100)
    assert (source.size, source.total_count) == (250, 3)
    assert b"".join(source.chunk(ordinal) for ordinal in (1, 2, 3)) == path.read_bytes()
    assert len(source.chunk(3)) == 50


def test_an_empty_file_is_an_empty_series(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert FileSource(tmp_path / "empty", 100).total_count == 0


def test_a_file_that_shrinks_is_an_error_and_no_short_payload(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(250))
    source = FileSource(path, 100)
    path.write_bytes(bytes(220))
    with pytest.raises(CliError) as caught:
        source.chunk(3)
    assert caught.value.code == "source-changed"


@pytest.mark.parametrize(
    ("transaction", "kind", "series"),
    [
        ("a..b", "default", {"a": Sized()}),
        ("T1", "a.b", {"a": Sized()}),
        ("T1", "default", {}),
        ("T1", "default", {"a/b": Sized()}),
        ("T1", "default", {".": Sized()}),
        ("T1", "default", {"a": Sized(1_000_001)}),
        ("T1", "default", {f"s{number}": Sized() for number in range(1_001)}),
    ],
)
def test_what_the_contract_forbids_is_not_sent(transaction: str, kind: str, series: dict[str, Sized]) -> None:
    with pytest.raises(CliError) as caught:
        check(transaction, kind, series)
    assert (caught.value.code, caught.value.exit_code) == ("contract", 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["T1"],
        ["T1", "--series", "a"],
        ["T1", "--series", "a="],
        ["T1", "--series", "a=missing"],
        ["T1", "--series", "a=FILE", "--series", "a=FILE"],
        ["T1", "--series", "a/b=FILE"],
        ["T1", "--series", "a=FILE", "--chunk-size", "257MiB"],
        ["T1", "--series", "a=FILE", "--chunk-size", "0"],
        ["T1", "--series", "a=FILE", "--chunk-size", "big"],
        ["T1", "--series", "a=FILE", "--duplicates", "101%"],
        ["T1", "--series", "a=FILE", "--type", "a.b"],
        ["a..b", "--series", "a=FILE"],
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    given = [argument.replace("FILE", str(tmp_path / "file")) for argument in arguments]
    assert CliRunner().invoke(brh, ["send", *given]).exit_code == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(brh, ["send", "T1", "--series", f"a={tmp_path / 'missing'}"])
    assert (result.exit_code, "missing is not there, or no file (no-file)" in result.stderr) == (2, True)


async def test_a_source_that_cannot_be_read_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sent: list[str] = []

    class Broker:
        async def get_exchange(self, *_: object, **__: object) -> Broker:
            return self

        async def publish(self, _: object, routing_key: str) -> None:
            sent.append(routing_key)

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[Broker]:
        yield Broker()

    monkeypatch.setattr("streams.cli.producer.opened", opened)
    (tmp_path / "file").write_bytes(b"x")
    source = FileSource(tmp_path / "file", 1)
    (tmp_path / "file").unlink()
    with pytest.raises(CliError) as caught:
        await send("amqp://nobody", "T1", {"a": source})
    assert (caught.value.code, caught.value.exit_code) == ("source", 1)
    assert sent == ["header.default"]


def test_a_broker_that_is_not_there_is_said_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    result = CliRunner(env={"BRH_AMQP_URL": "amqp://me:secret@127.0.0.1:1/"}).invoke(
        brh, ["send", "T1", "--series", f"a={tmp_path / 'file'}"]
    )
    assert result.exit_code == 4
    assert "(amqp-unreachable)" in result.stderr
    assert "secret" not in result.output


def checked(folder: Path, *arguments: str, **env: str) -> Any:
    (folder / "two").write_bytes(b"ab")
    (folder / "five").write_bytes(b"abcde")
    (folder / "empty").touch()
    given = [argument.replace("DIR", str(folder)) for argument in arguments]
    settings = {"BRH_AMQP_URL": "amqp://127.0.0.1:1/", **env}
    return CliRunner(env=settings).invoke(brh, ["send", "T1", "--check", *given])


def test_a_check_sends_nothing_and_says_what_the_bridge_would_say(tmp_path: Path) -> None:
    result = checked(tmp_path, "--series", "a=DIR/two", "--series", "log=DIR/empty", "--chunk-size", "1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1:] == [
        "a: 2 messages to small.a, 2 bytes: ok",
        "log: 0 messages to nowhere, 0 bytes: ok",
    ]
    assert result.stdout.startswith("header: 1 message to header.default, ")


def test_a_check_judges_what_this_command_would_send_and_its_help_says_so(tmp_path: Path) -> None:
    shown = " ".join(CliRunner().invoke(brh, ["send", "--help"]).stdout.replace("│", "").split())
    assert "judge what this command would send" in shown
    assert "judges what this command would send of these files" in shown
    assert "nothing of messages that another producer makes" in shown
    # All of it, whatever has arrived: nobody is there who could be asked.
    given = ("--series", "a=DIR/two", "--chunk-size", "1", "--only-missing")
    result = checked(tmp_path, *given, BRH_API_URL="http://127.0.0.1:1")
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (0, ["a: 2 messages to small.a, 2 bytes: ok"])


def test_what_would_be_refused_is_named_with_the_code_of_the_rejection(tmp_path: Path) -> None:
    given = ("--series", "a/b=DIR/two", "--series", "a=DIR/two", "--chunk-size", "1", "--type", "x.y")
    result = checked(tmp_path, *given)
    said, remedy = result.stderr.splitlines()
    assert (result.exit_code, said) == (1, "brh: 3 of 5 messages of T1 would be refused (contract)")
    assert "rejections" in remedy
    header, bad, good = result.stdout.splitlines()
    assert header.endswith("(bad-header-body)")
    assert bad.endswith("(bad-series-type)")
    assert "brh_series_type is 'a/b', expected 1 to 63 of" in bad
    assert good.endswith(": ok")
    found = json.loads(checked(tmp_path, *given, "--json").stdout)
    assert (found["messages"], found["rejected"]) == (5, 3)
    assert [each.get("code") for each in found["verdicts"]] == ["bad-header-body", "bad-series-type", None]


@pytest.mark.parametrize(
    ("series", "codes"),
    [
        ({"a": Sized(1_000_001)}, ["bad-header-body", "bad-total-count"]),
        ({f"s{number}": Sized() for number in range(1_001)}, ["too-many-series"]),
        ({"a" * 2_000_000: Sized()}, ["header-too-large", "bad-series-type"]),
        ({"a": Sized(1_000_000)}, []),
    ],
)
def test_a_check_finds_what_is_too_much(series: dict[str, Sized], codes: list[str]) -> None:
    found = judge("T1", "default", series)
    assert [each.code for each in found.verdicts if each.code] == codes


def test_a_check_knows_how_large_a_payload_may_be_here(tmp_path: Path) -> None:
    given = ("--series", "a=DIR/five", "--chunk-size", "2", "--json")
    assert checked(tmp_path, *given, BRH_PAYLOAD_MAX_BYTES="2").exit_code == 0
    result = checked(tmp_path, *given, BRH_PAYLOAD_MAX_BYTES="1")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["verdicts"][1]["code"]) == (1, "payload-too-large")
    assert (found["messages"], found["rejected"]) == (4, 2), "the last one has a single byte"


def test_a_check_counts_the_payloads_of_all_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = {name: Sized(1_000_000) for name in "abcde"}
    assert (judge("T1", "default", series).code, judge("T1", "default", series).rejected) == (None, 0)
    found = judge("T1", "default", {**series, "f": Sized()})
    assert (found.code, found.rejected) == ("too-many-payloads", 0), "the bridge takes them, and the tracker gives up"
    monkeypatch.setattr("tables.limits.PAYLOADS_MAX", 1)
    result = checked(tmp_path, "--series", "a=DIR/two", "--chunk-size", "1")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        1,
        "T1: Its series have 2 payloads together, and a transaction has at most 1: split it. (too-many-payloads)",
    )
    said, helps = result.stderr.splitlines()
    assert said == "brh: T1 would be Failed, although each of its 3 messages is taken (contract)"
    assert "larger payloads" in helps


def test_a_check_reads_what_it_judges(tmp_path: Path) -> None:
    class Gone(Sized):
        def chunk(self, ordinal: int) -> bytes:
            raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError):
        judge("T1", "default", {"a": Gone()})
