"""A process that ends itself is counted by the one that comes after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.hardened import EXIT_AGENT, EXIT_FENCE, EXIT_SEND
from streams.hardened.ends import EXIT_CODES, remember_ends

PROGRAM = """
import sys
from pathlib import Path
from streams.hardened.ends import end_process, remember_ends
file, code = sys.argv[1:]
print(remember_ends(Path(file)))
if code != "-":
    end_process(int(code), "the test says so")
"""


def run(file: Path, code: int | str = "-") -> dict[int, int]:
    """One life of a process that ends with this code; what it knew of those before it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, file, str(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == (code if isinstance(code, int) else 0), done.stderr
    known: dict[int, int] = eval(done.stdout)
    return known


def test_ends_are_counted_by_their_code(tmp_path: Path) -> None:
    file = tmp_path / "ends"
    assert run(file, EXIT_FENCE) == dict.fromkeys(EXIT_CODES, 0)
    run(file, EXIT_AGENT)
    run(file, EXIT_FENCE)
    run(file)
    assert run(file) == {**dict.fromkeys(EXIT_CODES, 0), EXIT_FENCE: 2, EXIT_AGENT: 1}


def test_the_file_does_not_grow(tmp_path: Path) -> None:
    file = tmp_path / "ends"
    file.write_text(f"{EXIT_SEND} 1\n" * 10_000)
    assert remember_ends(file)[EXIT_SEND] == 10_000
    assert file.stat().st_size < 100
    assert remember_ends(file)[EXIT_SEND] == 10_000


@pytest.mark.parametrize("text", ["", "nonsense", "75", "75 x", "12345 1", "75 1 1", "\x00\n"])
def test_what_is_no_count_is_not_believed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ends"
    file.write_text(text)
    assert remember_ends(file) == dict.fromkeys(EXIT_CODES, 0)
