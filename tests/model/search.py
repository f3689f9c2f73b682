"""Search everything that a model in Promela can do: spin makes a program of it, gcc builds it, and it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

MODEL: Final = Path(__file__).with_name("transaction.pml")
DEPTH_MAX: Final = 100_000
"""Steps of one run; the longest has fewer than 1,000, and a run that is cut off here fails."""
SEARCH_MAX_S: Final = 3_600.0
MEMORY_MAX_MB: Final = 8_000
"""Of the search; 2 million states take 300."""


class Found(NamedTuple):
    """What a search has come to."""

    states: int
    broken: str | None
    """The law that does not hold."""
    way: str
    """The steps to where it breaks."""
    unreached: tuple[str, ...]
    """Steps of the model that nothing leads to; only of a search that found nothing broken."""


def search(folder: Path, optimize: int = 2, **defined: str) -> Found:
    """Search all states.

    Args:
        folder: an empty one to work in.
        optimize: gcc's -O; building takes most of the time where something is found at once.
        defined: macros of the model, such as `MUTANT`.

    Raises:
        RuntimeError: spin or gcc is missing or fails, or the search did not come to its end.
        ValueError: the model knows no such scenario or mistake.
    """
    known = set(re.findall(r"#define (\w+) +\d", MODEL.read_text()))
    if unknown := [value for value in defined.values() if value not in known]:  # it would count as 0, which is none
        raise ValueError(f"{MODEL.name} knows no {', '.join(unknown)}")
    if missing := [name for name in ("spin", "gcc") if shutil.which(name) is None]:
        raise RuntimeError(f"{' and '.join(missing)} must be installed to check the model: run `make setup`")
    macros = [f"-D{name}={value}" for name, value in defined.items()]
    _run(folder, "spin", "-a", *macros, str(MODEL))
    _run(folder, "gcc", f"-O{optimize}", "-DSAFETY", f"-DMEMLIM={MEMORY_MAX_MB}", "-o", "pan", "pan.c")
    said = _run(folder, "./pan", "-E", f"-m{DEPTH_MAX}")
    if limit := re.search(r"max search depth too small|reached -DMEMLIM", said):
        raise RuntimeError(f"the search was cut off: {limit[0]}")
    states = int(_found(r"([\d.e+]+) states, stored", said))
    if "assertion violated" not in said:
        _found(r"errors: (0)\b", said)
        return Found(states, None, "", tuple(re.findall(r"state \d+, \"(?!-end-)(.+)\"", said)))
    way = _run(folder, "spin", *macros, "-k", f"{MODEL.name}.trail", "-p", "-g", str(MODEL))
    line = int(_found(rf"{re.escape(MODEL.name)}:(\d+), Error: assertion violated", way))
    return Found(states, _found(r"/\* law: (.+?) \*/", MODEL.read_text().splitlines()[line - 1]), way, ())


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SEARCH_MAX_S, check=False, errors="replace"
    )
    if done.returncode or "error:" in done.stderr:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def _found(pattern: str, text: str) -> str:
    if (match := re.search(pattern, text)) is None:
        raise RuntimeError(f"no {pattern!r} in:\n{text[-2000:]}")
    return match[1]
