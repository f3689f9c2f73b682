"""`brh demo` as somebody tries it who has just come: to the end, and then where its last lines lead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from streams.stack import Stack
from tests.support.world import until

DEMO_S = 400
"""135 MB with a killed tracker, after three brokers have started."""
PAGE_S = 120
END_S = 60

pytestmark = pytest.mark.timeout(DEMO_S + PAGE_S + 2 * END_S)


def served(url: str) -> str | None:
    """The page, or None while nobody serves it."""
    try:
        with urlopen(url, timeout=10) as answer:
            return str(answer.read().decode()) if answer.status == 200 else None
    except (URLError, OSError):
        return None


def test_its_last_lines_lead_to_the_page_of_the_result(tmp_path: Path) -> None:
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BRH_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    stack = tmp_path / "stack"
    try:
        done = subprocess.run(
            ["brh", "demo"],
            cwd=tmp_path,
            env={**env, "BRH_STACK_DIR": str(stack)},
            capture_output=True,
            text=True,
            timeout=DEMO_S,
        )
        assert done.returncode == 0, done.stderr
        command, url = (line.strip() for line in done.stdout.splitlines()[-2:])
        transaction = url.rpartition("/")[2]
        assert transaction.startswith("demo-")
        # As somebody types it: the settings come from its own words alone.
        with (tmp_path / "again.log").open("w") as log:
            again = subprocess.Popen(
                ["bash", "-c", command], cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True
            )
        try:
            page = until(lambda: served(url), PAGE_S, f"{url} is served by {command}")
            assert transaction in page
            assert "Completed" in page
        finally:
            os.killpg(again.pid, signal.SIGTERM)
            again.wait(END_S)
    finally:
        Stack(stack).down(wipe=True)
