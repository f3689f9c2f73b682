"""Log lines: one shape for all libraries, nothing secret, nothing that a terminal would obey, nothing without end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr

from bridge.log_lines import (
    HIDDEN,
    ITEMS_MAX,
    TRACEBACK_CHARS_MAX,
    VALUE_CHARS_MAX,
    Cleaned,
    printable,
    secrets_of,
)
from bridge.printed import PRINTED_MAX_CHARS, Printed
from bridge.settings import BridgeSettings

PASSWORD = "p%40ss-word"
KEY = "c2VjcmV0LWFjY291bnQta2V5=="
BEGIN = """
import logging, sys, threading, warnings
import structlog
from bridge.contract.inbound import Trace
from bridge.logs import configure_logs
from bridge.settings import BridgeSettings
from bridge.tracing import Note, Step, span
configure_logs(BridgeSettings(), "bridge", "b-1")
log = structlog.get_logger("ours")
theirs = logging.getLogger("aiokafka.conn")
"""


def lines(code: str, **env: str) -> list[str]:
    """What a process writes to stderr that logs as a bridge does and runs this code."""
    settings = {f"BRH_{name.upper()}": value for name, value in env.items()}
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        capture_output=True,
        check=False,
        timeout=60,
        env={"BRH_SECRETS_DIR": "", **settings},
    )
    assert ran.stdout == b""
    return ran.stderr.decode().splitlines()


def parsed(code: str, **env: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(code, log_format="json", **env)]


def test_every_line_of_every_library_is_one_object() -> None:
    found = parsed(
        """
log.info("ours", lane="l")
theirs.warning("theirs %s", "x")
warnings.warn("deprecated")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
raise ValueError("nobody\\nexpected")
"""
    )
    assert [(line["level"], line["logger"], line["event"].split(":")[0]) for line in found] == [
        ("info", "ours", "ours"),
        ("warning", "aiokafka.conn", "theirs x"),
        ("warning", "py.warnings", "<string>"),
        ("critical", "bridge.logs", "ends by an error that nobody expected"),
        ("critical", "bridge.logs", "ends by an error that nobody expected"),
    ]
    assert {(line["process"], line["instance"]) for line in found} == {("bridge", "b-1")}
    assert all(line["timestamp"].endswith("Z") for line in found)
    assert found[0]["lane"] == "l"
    assert "ZeroDivisionError" in found[3]["exception"]
    assert found[4]["exception"].endswith("ValueError: nobody\nexpected")


def test_work_names_its_transaction_in_all_its_lines() -> None:
    found = parsed(
        """
with span(Step.STAGE, Trace(), {Note.TRANSACTION: "T", Note.SERIES: "s", Note.ORDINAL: 7, Note.BYTES: 1}):
    log.info("one")
    theirs.info("two")
log.info("three")
"""
    )
    assert [(line.get("transaction"), line.get("series"), line.get("ordinal")) for line in found] == [
        ("T", "s", 7),
        ("T", "s", 7),
        (None, None, None),
    ]
    assert "bytes" not in found[0]


def test_levels_and_libraries_that_say_too_much() -> None:
    code = 'log.info("a"); log.warning("b"); logging.getLogger("azure.core").info("c"); theirs.info("d")'
    assert [line["event"] for line in parsed(code)] == ["a", "b", "d"]
    assert [line["event"] for line in parsed(code, log_level="warning")] == ["b"]


def test_people_read_lines_that_nobody_can_forge() -> None:
    code = 'log.warning("refused", id="x\\n2026 forged \\x1b[2J\\u202e"); theirs.error("%s", "y\\r\\nforged")'
    found = lines(code)
    assert len(found) == 2
    assert "n2026 forged" in found[0]
    assert "y\\r\\nforged" in found[1]
    assert all(line.isascii() and line.isprintable() for line in found)


def test_tracebacks_hold_no_values_of_variables() -> None:
    code = """
def work(body):
    raise RuntimeError("no")
try:
    work("canary" * 3)
except RuntimeError:
    log.exception("it failed")
    theirs.exception("it failed, too")
"""
    for text in ("\n".join(lines(code)), "\n".join(lines(code, log_format="json"))):
        assert text.count("RuntimeError") == 2
        assert "canarycanary" not in text


def test_secrets_of_settings_are_in_no_line() -> None:
    code = f"""
url = "amqp://me:{PASSWORD}@broker/"
log.error("cannot connect", error="to " + url, more=["p@ss-word", {{"key": "{KEY}"}}])
theirs.error("login {PASSWORD} refused")
raise OSError("AccountKey={KEY};")
"""
    env = {
        "amqp_url": f"amqp://me:{PASSWORD}@broker/",
        "blob_connection_string": f"AccountName=a;AccountKey={KEY};BlobEndpoint=http://x/a;",
    }
    for shape in ("console", "json"):
        text = "\n".join(lines(code, log_format=shape, **env))
        assert text.count(HIDDEN) >= 4
        assert not [secret for secret in (PASSWORD, "p@ss-word", KEY) if secret in text]


def test_what_is_long_is_cut() -> None:
    line = {"event": "e", "value": "v" * 5_000, "exception": "first" + "x" * 50_000 + "last"}
    found = Cleaned([])(None, "", line)
    assert found["value"] == "v" * VALUE_CHARS_MAX + "... (3000 more)"
    assert len(found["exception"]) == TRACEBACK_CHARS_MAX
    assert found["exception"].endswith("xlast")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        ((1, "a\n"), [1, "a\\n"]),
        ({"a\x00": {"b": b"c"}}, {"a\\x00": {"b": "b'c'"}}),
        (OSError("no\n"), "no\\n"),
        ("\ud800", "\\ud800"),
        ("ü 中 \u00a0", "ü 中 \u00a0"),
    ],
)
def test_values_of_any_kind(value: object, shown: object) -> None:
    assert Cleaned([])(None, "", {"value": value})["value"] == shown


def test_secrets_are_found_in_settings_and_short_words_are_none() -> None:
    settings = {
        "amqp_url": SecretStr("amqp://guest:guest@127.0.0.1/"),
        "other": SecretStr("amqps://u:a%20longer%20one@h/"),
        "blob": SecretStr(f"AccountName=a;AccountKey={KEY};SharedAccessSignature=sv=1&sig=abcdef"),
        "empty": SecretStr(""),
        "broken": SecretStr("http://[broken"),
        "plain": "not secret",
    }
    found = secrets_of(settings)
    assert found == sorted(found, key=len, reverse=True)
    assert {KEY, "sv=1&sig=abcdef", "a longer one", "a%20longer%20one", "http://[broken"} <= {*found}
    assert not {"guest", "", "not secret"} & {*found}


def test_defaults_hide_nothing_that_lines_are_made_of() -> None:
    assert [secret for secret in secrets_of(dict(BridgeSettings())) if "guest" not in secret] == []


def test_what_is_printable_stays() -> None:
    assert printable("plain, ünïcode, 中") == "plain, ünïcode, 中"


@pytest.mark.parametrize(
    "text",
    [
        "amqp://user:p%40ss-word@host:5672/%2F",
        "https://user:p@ss-word@host/",
        "AccountName=a;AccountKey=ss-word+/==;BlobEndpoint=b",
        "Authorization: Bearer ss-word.x",
        "https://a.blob.core.windows.net/c?se=1&sig=ss-word%3D",
    ],
)
def test_what_is_secret_by_where_it_stands_is_hidden_although_no_setting_holds_it(text: str) -> None:
    assert "ss-word" not in str(Cleaned([])(None, "", {"event": text, "exception": text}))


def test_values_without_end_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    found = Cleaned([])(None, "", {"loop": loop, "huge": 10**5_000, "nan": float("nan"), "many": range(10**9)})
    json.dumps(found, allow_nan=False)
    assert (found["huge"], found["nan"]) == ("a value of type int", "nan")
    assert len(Cleaned([])(None, "", {"many": [*range(1_000)]})["many"]) == ITEMS_MAX


def test_what_an_exception_says_cannot_look_like_a_line() -> None:
    code = 'theirs.error("it failed", exc_info=ValueError("x\\n2026-01-01T00:00:00Z [info     ] forged\\x1b[2J"))'
    first, *rest = lines(code)
    assert "it failed" in first
    assert [line for line in rest if not line.startswith("    ")] == []
    assert "forged\\x1b[2J" in rest[-1]


@pytest.mark.parametrize("shape", ["console", "json"])
def test_a_line_that_cannot_be_written_says_so_without_its_arguments(shape: str) -> None:
    (found,) = lines('theirs.error("%d", "the body of a message")', log_format=shape)
    assert "a line could not be written: TypeError" in found
    assert "body" not in found


def test_what_is_printed_is_a_line_as_well() -> None:
    code = """
print("one"); print("two\\nthree", file=sys.stderr); sys.stdout.write("fo"); sys.stdout.write("ur\\n")
raise SystemExit("five")
"""
    assert [(line["logger"], line["event"]) for line in parsed(code)] == [
        ("stdout", "one"),
        ("stderr", "two\\nthree"),
        ("stdout", "four"),
        ("stderr", "five"),
    ]


def test_what_is_printed_without_a_line_end_does_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    printed = Printed("stdout", io.StringIO())
    for _ in range(2 * PRINTED_MAX_CHARS):
        printed.write(".")
    assert caplog.messages == ["." * PRINTED_MAX_CHARS] * 2
    printed.write("and so on\n")
    assert caplog.messages[2:] == ["and so on"]
    print("x" * PRINTED_MAX_CHARS, file=printed)
    assert caplog.messages[3:] == ["x" * PRINTED_MAX_CHARS], "one that is long stays one"


def test_a_signal_tells_where_tasks_are_without_what_they_hold() -> None:
    """mode's own handler prints all local variables of all threads and tasks."""
    code = """
import asyncio, os, signal
from mode import Service
from bridge.process import Process

class Working(Service):
    async def on_started(self):
        body = "canary" * 3
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.2)
        await self.crash(RuntimeError("enough of " + str(len(body))))

Process(Working()).execute_from_commandline()
"""
    for shape in ("console", "json"):
        text = "\n".join(lines(code, log_format=shape))
        assert "a task is here" in text
        assert "on_started" in text
        assert "canarycanary" not in text


@pytest.mark.parametrize("shape", ["console", "json"])
def test_a_process_that_cannot_start_says_so_in_the_same_shape(shape: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bridge"],
        env={"BRH_LOG_FORMAT": shape, "BRH_LANES": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 1
    line, *helps = ran.stderr.splitlines()
    if shape == "json":
        found = json.loads(line)
        assert (found["process"], found["code"], helps) == ("bridge", "bad-settings", [])
        assert ".env" in found["remedy"]
        assert "BRH_LANES" in found["event"]
    else:
        assert line.startswith("bridge: BRH_LANES: ")
        assert line.endswith("(bad-settings)")
        assert ".env" in "".join(helps)


def test_a_shape_that_is_none_is_refused() -> None:
    env = {"BRH_LOG_FORMAT": "xml"}
    ran = subprocess.run([sys.executable, "-m", "bridge"], env=env, capture_output=True, text=True, check=False)
    assert "BRH_LOG_FORMAT" in ran.stderr
