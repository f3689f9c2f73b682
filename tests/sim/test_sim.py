"""The simulation itself: the same seed is the same run, seeds find nothing, and planted bugs are found."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "tests.sim"]
# A process of its own each: whoever simulates has small constants and no clocks, and stays like that.


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)


def digest(said: str) -> str:
    found = re.search(r"digest ([0-9a-f]{16})", said)
    assert found is not None, said
    return found[1]


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (simulate("--seed", "7", "--trace").stdout.splitlines() for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert "steps/s;" in one or one == other
    assert digest("\n".join(first)) == digest("\n".join(second))


def test_another_seed_is_another_run() -> None:
    assert digest(simulate("--seed", "7").stdout) != digest(simulate("--seed", "8").stdout)


def test_nothing_is_found() -> None:
    ran = simulate("--seed", "1", "--steps", "200000")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["ack-early", "mark-before-notify", "count-instead-of-set"])
def test_a_planted_bug_is_found(name: str) -> None:
    ran = simulate("--seed", "1", "--steps", "1000000", "--plant", name)
    assert ran.returncode == 1, ran.stdout + ran.stderr
