"""Rounds that were measured before: five take more than an hour, and a machine is seldom quiet for so long.

They count as long as the code that they measured is the code that is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, TypedDict

from benchmarks.aims import Round

FOLDER: Final = Path(".brh/bench")
MEASURED: Final = ("bridge", "tables", "benchmarks", "requirements")
"""Folders of which any change makes what was measured before another thing."""


class Kept(TypedDict):
    """A whole round."""

    measured: Mapping[str, Round]
    """The sides of each scenario."""
    services: Sequence[str]
    """What it was measured with, and its versions."""


def kept() -> list[Kept]:
    """In the order in which they were measured."""
    file = _file()
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def keep(found: Kept) -> None:
    """Add a round."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _file().open("a") as file:
        file.write(json.dumps(found) + "\n")


def forget() -> None:
    """Begin anew."""
    _file().unlink(missing_ok=True)


def _file() -> Path:
    digest = sha256()
    for folder in MEASURED:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in {".py", ".txt"}:
                digest.update(f"{path}\0".encode() + path.read_bytes())
    return FOLDER / f"{digest.hexdigest()[:16]}.jsonl"
