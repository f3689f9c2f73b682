"""A minute of faults on a stack of its own, judged from outside; `make chaos MINUTES=60` is the same for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_a_minute_of_faults_breaks_no_law(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "run", "--seed", "7", "--minutes", "1", "--dir", tmp_path / "run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
