"""Planted bugs are found by the tests that they name. Those that need services are found by `make teeth`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.teeth.bugs import all_bugs
from tests.teeth.runs import ROOT

BUGS = all_bugs()
PURE = [name for name, bug in BUGS.items() if not bug.stack]


@pytest.fixture(scope="module")
def said() -> str:
    """What a process says that has planted one after the other in forks of itself."""
    command = [sys.executable, "-m", "tests.teeth", "--pure", "--planted"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", PURE)
def test_a_bug_is_found(said: str, name: str) -> None:
    assert f"\n{name}: found in " in f"\n{said}", said


def test_without_a_name_nothing_is_planted() -> None:
    places: list[tuple[object, str]] = []
    for bug in BUGS.values():
        bug.plant(lambda owner, name, _value: places.append((owner, name)))
    assert len(places) >= len(BUGS)
    assert not [name for owner, name in places if vars(owner)[name].__module__.startswith("tests.")]
