"""Every step between an effect and its record has a crash point, and every crash point has a run of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import crash_points as seam
from tests.crash.coverage import BY_SCENARIO, PROCESSES, SCENARIO
from tests.crash.points import ROOT, BadPoint, crash_points
from tests.crash.scenarios import SCENARIOS

NAME = re.compile(rf"({'|'.join(PROCESSES)})\.[a-z]+(-[a-z]+)*")


def test_every_point_of_the_code_has_a_scenario_and_every_scenario_only_points_of_the_code() -> None:
    found = crash_points()
    assert set(found) == set(SCENARIO)
    assert len(found) >= 40
    assert sum(map(len, BY_SCENARIO.values())) == len(SCENARIO), "each has one"


def test_every_scenario_is_played() -> None:
    assert set(BY_SCENARIO) == set(SCENARIOS)


def test_names_say_the_process_and_what_has_happened() -> None:
    assert not [name for name in crash_points() if not NAME.fullmatch(name)]


@pytest.mark.parametrize(
    "source",
    [
        'crash_point("bridge.once")\n\ndef f():\n    crash_point("bridge.once")',
        'name = "bridge.any"\ncrash_point(name)',
        'seam.crash_point(f"bridge.{1}")',
        'crash_point(name="bridge.any")',
        "from bridge.crash_points import crash_point as other",
    ],
)
def test_a_point_that_could_not_be_found_by_its_name_is_none(tmp_path: Path, source: str) -> None:
    (tmp_path / "room.py").write_text(source)
    with pytest.raises(BadPoint):
        crash_points((tmp_path,))


def test_points_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text('async def f():\n    with g():\n        await h(lambda: seam.crash_point("a.b"))')
    assert list(crash_points((tmp_path,))) == ["a.b"]


def test_nothing_happens_at_a_point_of_a_process_that_was_started_as_in_production() -> None:
    assert seam.FOLDER not in os.environ
    assert seam.crash_point is seam._pass_by
    assert seam._pass_by.__code__.co_names == (), "it calls nothing"


SCRIPT = """
import signal
from bridge.crash_points import crash_point
for _ in range(3):
    crash_point("a.b")
    crash_point("c.d")
print("went on")
"""


def pass_points(folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, seam.FOLDER: str(folder)}
    return subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, capture_output=True, text=True)


def arrivals(folder: Path, run: str, name: str) -> int:
    return (folder / run / name).stat().st_size // seam.ARRIVAL_BYTES


@pytest.mark.parametrize("occurrence", [1, 3])
def test_a_process_dies_at_the_planned_arrival_and_the_next_one_does_not(tmp_path: Path, occurrence: int) -> None:
    (tmp_path / "r1").mkdir()
    (tmp_path / seam.PLAN).write_text(f"r1 c.d {occurrence} {signal.SIGKILL:d}")
    dead = pass_points(tmp_path)
    assert (dead.returncode, dead.stdout) == (-signal.SIGKILL, "")
    assert (arrivals(tmp_path, "r1", "a.b"), arrivals(tmp_path, "r1", "c.d")) == (occurrence, occurrence)
    assert int((tmp_path / "r1" / seam.FIRED).read_text())
    assert pass_points(tmp_path).returncode == 0, "arrivals are counted over all processes"


def test_a_run_without_a_crash_counts_who_passes(tmp_path: Path) -> None:
    (tmp_path / "r1").mkdir()
    assert pass_points(tmp_path).stdout == "went on\n"
    assert not list((tmp_path / "r1").iterdir()), "without a plan nothing is counted"
    (tmp_path / seam.PLAN).write_text("r1 none 0 9")
    assert pass_points(tmp_path).stdout == "went on\n"
    assert (arrivals(tmp_path, "r1", "a.b"), arrivals(tmp_path, "r1", "c.d")) == (3, 3)
    assert not (tmp_path / "r1" / seam.FIRED).exists()
