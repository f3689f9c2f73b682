"""The command line against a whole installation: interrupted and gone on, replayed, and seen on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.outside import Chunks, publish_header, publish_payloads
from tests.support.terminal import OnTerminal
from tests.support.world import World

BRH = [sys.executable, "-c", "from streams.cli import main; main()"]
SIZE = 96 << 20  # so that there is something left of it when somebody looks

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def txn() -> str:
    return f"cli-{uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "big"
    path.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
    return path


def brh(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BRH, *arguments], env={**os.environ, **world.env}, capture_output=True, text=True, timeout=100, check=False
    )


def interrupted(world: World, *arguments: str) -> tuple[int, str]:
    """Ctrl-C as soon as a bar is on the terminal: exit code, and what was said."""
    with OnTerminal([*BRH, *arguments], {**os.environ, **world.env}) as terminal:
        terminal.until(lambda seen: "MB" in seen)
        terminal.process.send_signal(signal.SIGINT)
        return terminal.end(), terminal.seen


def test_what_was_interrupted_goes_on_where_it_ended(world: World, txn: str, file: Path, tmp_path: Path) -> None:
    given = ("send", txn, "--series", f"s={file}", "--chunk-size", "256KiB")
    exit_code, seen = interrupted(world, *given)
    assert (exit_code, "(interrupted)" in seen, "--only-missing" in seen) == (130, True, True), seen
    world.wait_state(txn, ["AwaitingResults"])
    again = brh(world, *given, "--only-missing", "--json")
    assert again.returncode == 0, again.stderr
    assert 0 < json.loads(again.stdout)["payloads"] <= SIZE // (256 << 10)
    with OnTerminal([*BRH, "wait", txn, "--watch"], {**os.environ, **world.env}) as terminal:
        assert terminal.end() == 0
        assert terminal.process.stdout is not None
        assert terminal.process.stdout.read().decode().startswith(f"{txn} Completed")

    exit_code, seen = interrupted(world, "fetch", txn, "--out", str(tmp_path))
    assert (exit_code, "(interrupted)" in seen) == (130, True), seen
    assert not (tmp_path / "s").exists(), "what is not verified has not its name"
    piped = brh(world, "fetch", txn, "--out", str(tmp_path))
    assert (piped.returncode, piped.stdout) == (0, f"s: 100.7 MB verified, {tmp_path / 's'}\n"), piped.stderr
    assert piped.stderr.startswith(f"{txn}: ")
    assert "\x1b" not in piped.stderr
    assert (tmp_path / "s").read_bytes() == file.read_bytes()
    assert os.listdir(tmp_path) == ["s"]


async def test_a_past_moment_is_what_it_was_on_the_real_log(world: World, txn: str) -> None:
    series = {"s": Chunks(txn, [100, 200])}
    await publish_payloads(world, txn, series, [1])
    await publish_header(world, txn, {"series": [{"type": "s"}]})
    await asyncio.to_thread(world.wait_state, txn, ["AwaitingResults"])
    await publish_payloads(world, txn, series, [2])
    row = await asyncio.to_thread(world.wait_state, txn, ["Completed"])

    ended = await asyncio.to_thread(brh, world, "replay", txn, "--json")
    assert ended.returncode == 0, ended.stderr
    now = json.loads(ended.stdout)
    assert now["transaction"]["series"] == row["series"]
    assert now["transaction"]["timestamps"]["created"] == row["timestamps"]["created"]
    assert now["transaction"]["state"] == "Completed"
    staged = [each["offset"] for each in now["history"] if each["kind"] == "PayloadsStaged"]
    first = json.loads((await asyncio.to_thread(brh, world, "replay", txn, "--until", str(staged[0]), "--json")).stdout)
    assert first["offset"] == staged[0]
    assert first["transaction"]["series"][0]["received"] == [[1, 1]]
    assert first["transaction"]["state"] == "AwaitingResults"
    shown = await asyncio.to_thread(brh, world, "replay", txn, "--until", str(staged[0]))
    assert "s: 1 of 2 (50 %)" in shown.stdout
    unknown = await asyncio.to_thread(brh, world, "replay", f"{txn}-unknown")
    assert (unknown.returncode, "(no-events)" in unknown.stderr) == (3, True)


def test_a_status_on_a_narrow_terminal_and_completion_know_the_transaction(world: World, txn: str, file: Path) -> None:
    sent = brh(world, "send", txn, "--series", f"s={file}", "--chunk-size", "1MiB", "--type", "narrow", "--json")
    assert sent.returncode == 0, sent.stderr
    world.wait_state(txn, ["Completed"])
    with OnTerminal([*BRH, "status", txn], {**os.environ, **world.env}, columns=40, stdout=True) as terminal:
        assert terminal.end() == 0
        assert "\x1b[32m" + "▮" * 38 in terminal.seen
        assert f"brh fetch {txn}" in terminal.seen
    words = {"_BRH_COMPLETE": "bash_complete", "COMP_WORDS": f"brh status {txn[:8]}", "COMP_CWORD": "2"}
    program = [sys.executable, "-c", "from streams.cli import brh; brh(prog_name='brh')"]
    offered = subprocess.run(
        program, env={**os.environ, **world.env, **words}, capture_output=True, text=True, check=True
    )
    assert f"plain,{txn}" in offered.stdout.split()
