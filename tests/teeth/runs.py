"""Run the tests that have to find a bug, with it and without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.teeth.bugs import Bug, plant

ROOT: Final = Path(__file__).parents[2]
SITE: Final = Path(__file__).with_name("site")
RUN_MAX_S: Final = 900.0


class Ran(NamedTuple):
    """A run of a test."""

    passed: bool
    failed: bool
    """A test failed; neither: the run itself did."""
    took_s: float
    said: str


def run(bug: Bug, *, planted: bool) -> Ran:
    """Run the tests of a bug in a process of their own, up to the first that fails.

    What needs no services is a fork of this process, which has imported the product already.
    """
    begun_s = time.monotonic()
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "--no-header", str(ROOT / bug.found_by)]
    ended, said = (_started if bug.stack else _forked)(bug.name if planted else None, arguments)
    failed = ended == pytest.ExitCode.TESTS_FAILED and re.search(r"\b\d+ failed", said) is not None
    return Ran(ended == pytest.ExitCode.OK, failed, time.monotonic() - begun_s, said)


def _started(name: str | None, arguments: list[str]) -> tuple[int, str]:
    """Every process that the test starts has the bug as well."""
    env = {key: value for key, value in os.environ.items() if key != "BRH_PLANT"}
    if name is not None:
        env |= {"BRH_PLANT": name, "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "pytest", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=RUN_MAX_S, check=False, errors="replace"
    )
    return done.returncode, done.stdout + done.stderr


def _forked(name: str | None, arguments: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        child = os.fork()
        if child == 0:
            os._exit(_within(said.fileno(), lambda: _test(name, arguments)))
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read()


def _test(name: str | None, arguments: list[str]) -> int:
    if name is not None:
        plant(name)
    os.chdir(ROOT)
    return int(pytest.main(arguments))


def _within(output: int, work: Callable[[], int]) -> int:
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        ended = work()
    except BaseException as error:
        print(f"the run broke: {error!r}", file=sys.stderr)
        ended = int(pytest.ExitCode.INTERNAL_ERROR)
    sys.stdout.flush()
    sys.stderr.flush()
    return ended
