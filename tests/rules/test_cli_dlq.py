"""`brh dlq`: what is told of messages that anybody may have written, and nothing that a terminal would obey."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from bridge.contract.inbound import HEADER_TYPE, PAYLOAD_TYPE
from bridge.envelope import Properties
from reference.cli import DOCUMENTS
from streams.cli import brh, show_letters
from streams.cli.dead_letter import (
    UNKNOWN_ORIGIN,
    DeadLetter,
    Death,
    Letters,
    Verdict,
    dead_letter,
    death,
    letter_id,
    verdict,
)
from streams.cli.look import Look
from streams.cli.redrive import Redrive

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PAYLOAD = {"brh_series_type": "a", "brh_ordinal": 1, "brh_total_count": 2}


def died(queue: str = "brh.payloads", reason: str = "rejected", key: str = "payload.a") -> dict[str, Any]:
    return {"x-death": [{"queue": queue, "reason": reason, "time": NOW, "routing-keys": [key], "count": 1}]}


def payload(**headers: Any) -> Properties:
    return Properties(PAYLOAD_TYPE, "T1", message_id="m-1", app_id="job", headers={**PAYLOAD, **died(), **headers})


def incoming(properties: Properties, size: int = 4) -> Any:
    return SimpleNamespace(properties=properties, size=size)


def listed(*letters: DeadLetter, waiting: int = 1) -> list[str]:
    return show_letters.letters(Letters("brh.rejected", waiting, len(letters), [*letters]))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9)
    | st.just(NOW),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


def test_the_last_death_is_told() -> None:
    assert death(died("brh.headers", "delivery_limit", "header.x")) == Death(
        "brh.headers", "header.x", "delivery_limit", NOW
    )


@given(st.dictionaries(st.sampled_from(["x-death", "brh_ordinal", "other"]), values))
def test_whatever_the_headers_hold_something_is_told_of_it(headers: dict[str, Any]) -> None:
    letter = dead_letter(Properties(headers=headers), 7, 100)
    for line in show_letters.letter(letter, headers, b"{") + listed(letter):
        assert line.isascii()
        assert line.isprintable() or line.startswith("\"'")
    json.dumps(show_letters.plain(headers), allow_nan=False)


@pytest.mark.parametrize(
    ("queue", "properties", "body", "code"),
    [
        ("brh.payloads", payload(), None, None),
        ("brh.payloads.small", payload(), b"body", None),
        ("brh.payloads", payload(brh_ordinal=0), None, "bad-ordinal"),
        ("brh.payloads", payload(brh_sha256="0" * 64), None, None),
        ("brh.payloads", payload(brh_sha256="0" * 64), b"body", "digest-mismatch"),
        ("brh.headers", payload(), None, "bad-type"),
        ("brh.headers", Properties(HEADER_TYPE, "T1", "application/json"), None, None),
        ("brh.headers", Properties(HEADER_TYPE, "T1", "application/json"), b"{}", "bad-header-body"),
        ("brh.headers", Properties(HEADER_TYPE, "T1", "application/json"), b'{"series": [{"type": "a"}]}', None),
        ("brh.notifications", payload(), None, UNKNOWN_ORIGIN),
        (None, payload(), None, UNKNOWN_ORIGIN),
    ],
)
def test_the_bridge_s_own_rules_say_what_would_become_of_it(
    queue: str | None, properties: Properties, body: bytes | None, code: str | None
) -> None:
    found = verdict(queue, properties, 4, body)
    assert (found and found.code) == code


def test_what_is_too_large_by_the_setting_is_so_again() -> None:
    found = verdict("brh.payloads", payload(), 101, payload_max_bytes=100)
    assert found == Verdict("payload-too-large", "the body's size is 101, expected at most 100 bytes")


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (payload(brh_ordinal=0), "brh_ordinal is 0, expected an AMQP integer from 1 to the total count (bad-ordinal)"),
        (payload(), "refused for what its body is"),
        (payload(**died(reason="delivery_limit")), "given back too often, and nothing speaks against it"),
        (payload(**died(reason="expired")), "put aside by the broker (expired)"),
        (Properties(), "nobody noted why"),
        (Properties("brh.transaction.orphaned.v1"), "payloads that are in no result; `brh dlq show` names them"),
    ],
)
def test_a_line_says_why_it_is_there(properties: Properties, words: str) -> None:
    letter = dead_letter(properties, 2_000, 1 << 20)
    line = listed(letter, waiting=5)[1]
    assert line.endswith(words)
    assert line.startswith(f"{letter.id}  ")


def test_ids_are_whole_and_escapes_are_not_obeyed() -> None:
    name = "T" * 128
    letter = dead_letter(Properties("brh.payload.v1\x1b[2J", name, headers={"a\nb": "c\x1bd"}), 1, 1)
    assert name in listed(letter)[1]
    lines = show_letters.letter(letter, {"a\nb": "c\x1bd", "n": {"deep": [1, NOW]}}, b"")
    assert "header 'a\\nb': 'c\\x1bd'" in lines
    assert 'header \'n\': {"deep": [1, "2026-01-31T12:00:00.000Z"]}' in lines


def test_an_empty_queue_and_one_that_somebody_reads_are_told_apart() -> None:
    assert listed(waiting=0) == ["brh.rejected is empty."]
    assert "Somebody has them in hand." in listed(waiting=3)


# --- the commands


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    __import__("streams.cli.dlq")

    def invoke(found: Look, body: bytes, *arguments: str) -> tuple[Result, list[tuple[str, int]]]:
        asked: list[tuple[str, int]] = []

        async def look(_: Any, __: str, queue: str, limit: int, choose: Any = None, save: Any = None) -> Look:
            asked.append((queue, limit))
            chosen = next((each for each in found.seen if choose and choose(each)), None)
            if chosen is not None and (file := save(chosen)) is not None:
                file.write(body)
            return Look(found.waiting, found.seen[:limit], chosen if found.chosen is None else None)

        monkeypatch.setattr("streams.cli.dlq.look", look)
        return CliRunner().invoke(brh, ["dlq", *arguments]), asked

    return invoke


def test_list_prints_the_queue_or_json(run: Any) -> None:
    found = Look(7, [incoming(payload()), incoming(payload(brh_ordinal=0))])
    result, asked = run(found, b"", "list", "--limit", "2")
    assert (result.exit_code, asked) == (0, [("brh.rejected", 2)])
    assert result.stdout.splitlines()[0] == "brh.rejected has 7 messages."
    plain = json.loads(run(found, b"", "list", "--json")[0].stdout)
    assert (plain["queue"], plain["waiting"]) == ("brh.rejected", 7)
    assert {each["problem"] and each["problem"]["code"] for each in plain["messages"]} == {None, "bad-ordinal"}
    assert [each["id"] for each in plain["messages"]] == sorted(each["id"] for each in plain["messages"])
    assert plain["messages"][0]["transactionId"] == "T1"


def test_list_shows_those_of_a_transaction_among_all_that_are_looked_at(run: Any) -> None:
    others = [incoming(replace(payload(), correlation_id=f"T1-{number}")) for number in range(3)]
    found = Look(9, [*others, incoming(payload()), incoming(payload(brh_ordinal=2)), incoming(Properties())])
    result, asked = run(found, b"", "list", "--transaction", "T1", "--limit", "5")
    assert (result.exit_code, asked) == (0, [("brh.rejected", 1_000)])
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:3]] == ["T1", "T1"]
    assert lines[3] == "Of 'T1' these are 2, and 6 were looked at."
    plain = json.loads(run(found, b"", "list", "--transaction", "T1", "--limit", "1", "--json")[0].stdout)
    assert (plain["lookedAt"], [each["transactionId"] for each in plain["messages"]]) == (6, ["T1"])
    two = run(found, b"", "list", "--transaction", "T1-0", "--transaction", "T1-2", "--json")[0]
    assert {each["transactionId"] for each in json.loads(two.stdout)["messages"]} == {"T1-0", "T1-2"}
    assert "these are 0, and 6" in run(found, b"", "list", "--transaction", "T")[0].stdout


def test_show_prints_an_orphan_record_whole(run: Any) -> None:
    properties = Properties("brh.transaction.orphaned.v1", "T1", message_id="e-1")
    orphan, name = Look(1, [incoming(properties)]), letter_id(properties, 4)
    result, asked = run(orphan, b'{"data": {"reason": "no-header"}}', "show", name, "--queue", "orphans")
    assert (result.exit_code, asked[0][0], '"reason": "no-header"' in result.stdout) == (0, "brh.orphans", True)
    plain = json.loads(run(orphan, b'{"a": 1}', "show", name, "--queue", "orphans", "--json")[0].stdout)
    assert (plain["event"], plain["problem"]) == ({"a": 1}, None)


def test_what_show_prints_is_what_the_reference_documents(run: Any) -> None:
    schema = msgspec.json.schema(DOCUMENTS["dlq show"])
    (kind,) = (each for name, each in schema["$defs"].items() if schema["$ref"].endswith(f"/{name}"))
    letter, orphan = payload(nested={"deep": [1, NOW, b"x"]}), Properties("brh.transaction.orphaned.v1", "T1")
    for properties, queue in ((letter, "rejected"), (payload(brh_ordinal=0), "rejected"), (orphan, "orphans")):
        found, name = Look(1, [incoming(properties)]), letter_id(properties, 4)
        plain = json.loads(run(found, b'{"a": 1}', "show", name, "--queue", queue, "--json")[0].stdout)
        Draft202012Validator(schema).validate(plain)
        assert set(plain) == {*kind["required"]} | ({"event"} if queue == "orphans" else set())
        assert set(plain) <= set(kind["properties"])


def test_a_body_goes_to_a_new_file_and_to_no_terminal(run: Any, tmp_path: Path) -> None:
    found, name = Look(2, [incoming(payload()), incoming(payload(other=1))]), letter_id(payload(other=1), 4)
    assert "secret" not in run(found, b"secret", "show", name)[0].output
    out = tmp_path / "body"
    assert run(found, b"secret", "show", name, "--out", str(out))[0].exit_code == 0
    assert out.read_bytes() == b"secret"
    refused = run(found, b"other", "show", name, "--out", str(out))[0]
    assert (refused.exit_code, "(no-file)" in refused.stderr) == (2, True)
    assert out.read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("found", "name", "exit_code", "code"),
    [
        (Look(0, []), "", 3, "(no-message)"),
        (Look(1, [incoming(payload())]), "", 3, "(no-message)"),
        (Look(2, [incoming(payload())]), "", 4, "(in-hand)"),
        (Look(2, [incoming(payload())], chosen=incoming(payload())), letter_id(payload(), 4), 4, "(in-hand)"),
    ],
    ids=["empty", "another", "in hand", "cut"],
)
def test_what_cannot_be_shown_leaves_no_file(
    run: Any, tmp_path: Path, found: Look, name: str, exit_code: int, code: str
) -> None:
    result, _ = run(found, b"half", "show", name, "--out", str(tmp_path / "body"))
    assert (result.exit_code, (tmp_path / "body").exists()) == (exit_code, False)
    assert code in result.stderr


def test_what_stays_of_what_was_chosen_is_a_failure_but_for_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inspected(*_: object) -> int:
        return 1

    async def one_stays(redrive: Redrive) -> None:
        redrive.report.left_count = 1

    __import__("streams.cli.dlq")
    monkeypatch.setattr("streams.cli.dlq.inspected", inspected)
    monkeypatch.setattr(Redrive, "run", one_stays)
    result = CliRunner().invoke(brh, ["dlq", "redrive", "--all"])
    assert (result.exit_code, "(left)" in result.stderr) == (1, True)
    assert CliRunner().invoke(brh, ["dlq", "redrive", "--all", "--dry-run"]).exit_code == 0


def test_a_message_has_the_same_id_however_often_it_was_looked_at() -> None:
    again = {"x-delivery-count": 7}
    assert letter_id(payload(), 4) == letter_id(payload(**again), 4)
    others = [letter_id(payload(brh_ordinal=2), 4), letter_id(payload(), 5), letter_id(payload(**died(key="b")), 4)]
    assert len({letter_id(payload(), 4), *others}) == 4


def test_nobody_there_is_not_ready() -> None:
    result = CliRunner(env={"BRH_AMQP_URL": "amqp://me:secret@127.0.0.1:1/"}).invoke(brh, ["dlq", "list"])
    assert (result.exit_code, "secret" in result.output) == (4, False)
