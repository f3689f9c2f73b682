"""The tutorial is run as it stands, block by block in one shell, on a stack of its own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from streams.stack import Stack
from tests.support.world import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TIMEOUT_S = 400


def blocks() -> list[tuple[str, list[str]]]:
    """Each block of commands, and the lines that its output has to contain."""
    found: list[tuple[str, list[str]]] = []
    for kind, content in BLOCK.findall(PAGE.read_text()):
        if kind == "sh":
            found.append((content, []))
        else:
            found[-1][1].extend(content.splitlines())
    return found


def script(folder: Path) -> str:
    """All blocks in one shell; the output of each goes to a file, and the first command that fails ends it."""
    lines = ["set -euo pipefail", "set -m", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for number, (commands, _) in enumerate(blocks()):
        lines += [f"exec >{folder / f'block-{number}'} 2>&1", f"echo {number} >{folder / 'block'}", commands]
    return "\n".join(lines)


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_every_command_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    work, said = tmp_path / "work", tmp_path / "said"
    work.mkdir(), said.mkdir()
    api = f"127.0.0.1:{free_port()}"
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BRH_")},
        "TMPDIR": str(work),
        # What else runs on this machine has the places of the defaults.
        "BRH_STACK_DIR": str(tmp_path / "stack"),
        "BRH_API_BIND": api,
        "BRH_API_URL": f"http://{api}",
        "BRH_DELIVERY_BIND": f"127.0.0.1:{free_port()}",
        "BRH_BRIDGE_BIND": f"127.0.0.1:{free_port()}",
    }
    try:
        done = subprocess.run(
            ["bash", "-c", script(said)], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False
        )
        last = (said / "block").read_text().strip()
        behind = "".join(log.read_text()[-2_000:] for log in work.glob("*/processes.log"))
        assert done.returncode == 0, f"block {last}:\n{(said / f'block-{last}').read_text()}\n{behind}"
    finally:
        Stack(tmp_path / "stack").down(wipe=True)
    for number, (commands, wanted) in enumerate(blocks()):
        output = (said / f"block-{number}").read_text()
        for line in wanted:
            assert line in output, f"{line!r} is not in what this says:\n{commands}\n{output}"


def test_no_block_of_commands_is_left_out() -> None:
    assert {*re.findall(r"^```(\S*)\n.*?^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)} == {"sh", "text"}


def test_the_tutorial_says_what_its_commands_print_in_lines_that_nothing_else_prints() -> None:
    assert len(blocks()) >= 8
    assert sum(bool(wanted) for _, wanted in blocks()) >= 4
    for commands, wanted in blocks():
        for line in wanted:
            assert len(line) > 20, "a word is there by chance"
            assert line not in commands
