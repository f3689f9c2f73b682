"""How far a transfer is: a bar on a terminal, a line now and then elsewhere, nothing with --json."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streams.cli import brh
from streams.cli.progress import LINE_INTERVAL_S, Lines, Moved, line, shown
from streams.cli.spans import from_now, span_text
from streams.cli.wait import moved
from tests.support.terminal import OnTerminal

MB = 1_000_000
PROGRAM = """
import sys
from streams.cli.progress import Moved, shown
with shown("T1", "--json" in sys.argv) as show:
    for step in range(1, 51):
        show(Moved(step * 1_000_000, 100_000_000, f"{step} of 100 payloads"))
print("done")
"""


def words(text: str) -> str:
    """Without what moves the cursor and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("columns", [40, 100])
def test_on_a_terminal_there_is_a_bar_that_fits_and_leaves_nothing_behind(columns: int) -> None:
    with OnTerminal([sys.executable, "-c", PROGRAM], {}, columns=columns) as terminal:
        assert terminal.end() == 0
        seen = terminal.seen
        assert terminal.process.stdout is not None
        assert terminal.process.stdout.read() == b"done\n"
    assert "━" in seen
    assert "50%" in words(seen)
    rows = [row for row in re.split(r"[\r\n]+", words(seen)) if row]
    assert max(map(len, rows)) <= columns
    assert seen.rstrip().endswith(("\x1b[2K", "\x1b[?25h")), "the bar is wiped and the cursor is back"
    if columns == 100:
        assert "50 of 100 payloads" in words(seen)
        assert re.search(r"50\.0/100\.0 MB +\S+ [kMGT]?B/s +\d\d:\d\d\b", words(seen)), "bytes, rate, time left"


@pytest.mark.parametrize("env", [{}, {"TERM": "dumb"}])
def test_elsewhere_there_are_plain_lines(env: dict[str, str]) -> None:
    if env:
        with OnTerminal([sys.executable, "-c", PROGRAM], env) as terminal:
            assert terminal.end() == 0
            said = terminal.seen
    else:
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        assert done.stdout == "done\n"
        said = done.stderr
    assert said.split() == ["T1:", "1.0", "MB", "of", "100.0", "MB", "(1", "%),", "1", "of", "100", "payloads"]


def test_programs_are_told_nothing() -> None:
    with OnTerminal([sys.executable, "-c", PROGRAM, "--json"], {}) as terminal:
        assert terminal.end() == 0
        assert terminal.seen == ""


def test_lines_come_now_and_then_with_pace_and_time_left() -> None:
    said: list[str] = []
    clock = iter([0.0, 1.0, LINE_INTERVAL_S, LINE_INTERVAL_S + 1, 2 * LINE_INTERVAL_S])
    lines = Lines("T1", said.append, lambda: next(clock))
    for done in (10, 20, 60, 70, 80):
        lines(Moved(done * MB, 100 * MB))
    assert said == [
        "T1: 10.0 MB of 100.0 MB (10 %)",
        "T1: 60.0 MB of 100.0 MB (60 %), 10.0 MB/s, 4 s left",
        "T1: 80.0 MB of 100.0 MB (80 %), 4.0 MB/s, 5 s left",
    ]


def test_what_was_there_before_tells_nothing_of_the_pace() -> None:
    said: list[str] = []
    clock = iter([0.0, LINE_INTERVAL_S])
    lines = Lines("T1", said.append, lambda: next(clock))
    lines(Moved(0, 100 * MB))
    lines(Moved(60 * MB, 100 * MB, found=50 * MB))
    assert said[1].endswith("2.0 MB/s, 20 s left")


def test_what_is_not_known_is_not_said() -> None:
    assert line("T1", Moved(5, None, "3 payloads"), None) == "T1: 5 bytes, 3 payloads"
    assert line("T1", Moved(5, None), 0.0) == "T1: 5 bytes, 0 bytes/s"
    assert line("T1", Moved(0, 0), None) == "T1: 0 bytes of 0 bytes (100 %)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (47 * 3_600, "47 h"),
        (4 * 86_400 + 6 * 3_600, "4 d 6 h"),
    ],
)
def test_spans_have_two_units_at_most(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_moments_are_told_from_now() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert from_now("2026-01-31T12:00:07.000Z", now) == "in 7 s"
    assert from_now("2026-01-31T11:57:00.000Z", now) == "3 min ago"


def row(header: bool, *series: tuple[int | None, int, int]) -> dict[str, Any]:
    shown = [{"totalCount": total, "receivedCount": came, "bytes": size} for total, came, size in series]
    return {"state": "AwaitingResults", "header": {} if header else None, "series": shown}


def test_while_waiting_the_size_is_estimated_by_what_came() -> None:
    assert moved(row(True, (10, 4, 400), (10, 0, 0))) == Moved(400, 2_000, "AwaitingResults, 4 of 20 payloads")
    assert moved(row(True, (None, 4, 400))) == Moved(400, None, "AwaitingResults, 4 payloads")
    assert moved(row(False, (4, 4, 400))).bytes_of is None
    assert moved(row(True, (4, 0, 0))).bytes_of is None


@pytest.mark.parametrize(
    ("arguments", "module", "remedy"),
    [
        (["send", "T1", "--series", "a=FILE"], "send", "--only-missing"),
        (["fetch", "T1", "--out", "FOLDER"], "fetch", "whole parts are kept"),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    arguments: list[str], module: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    __import__(f"streams.cli.{module}")

    def interrupted(work: Any) -> None:
        work.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(f"streams.cli.{module}.asyncio.run", interrupted)
    given = [each.replace("FILE", str(tmp_path / "file")).replace("FOLDER", str(tmp_path)) for each in arguments]
    result = CliRunner().invoke(brh, given)
    assert (result.exit_code, result.stdout) == (130, "")
    said, helps = result.stderr.splitlines()
    assert said.startswith("brh: T1 is ")
    assert said.endswith("(interrupted)")
    assert remedy in helps


def test_nothing_is_shown_to_programs_here_either(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("T1", as_json=True) as show:
        show(Moved(1, 2))
    assert json.dumps(capsys.readouterr()) == '["", ""]'
