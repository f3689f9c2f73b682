"""What the processes of one kind are told by way of their crash folder, and what they have left there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridge.crash_points import ARRIVAL_BYTES, FIRED, PLAN

NEVER: Final = "none"


class Run:
    """Arrivals since one plan was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self, name: str) -> int:
        """How often the point was passed."""
        path = self._folder / name
        return path.stat().st_size // ARRIVAL_BYTES if path.exists() else 0

    @property
    def counts(self) -> dict[str, int]:
        """How often each point was passed."""
        return {path.name: self.count(path.name) for path in self._folder.iterdir() if path.name != FIRED}

    @property
    def pids(self) -> set[int]:
        """Of those who passed anything."""
        names = [path for path in self._folder.iterdir() if path.name != FIRED]
        return {int(line) for path in names for line in path.read_text().split()}

    @property
    def fired(self) -> int | None:
        """The process that came to where it was planned."""
        path = self._folder / FIRED
        text = path.read_text() if path.exists() else ""
        return int(text) if text else None


class Plans:
    """The crash folder of the processes of one kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        folder.mkdir(parents=True)

    def make(self, name: str = NEVER, occurrence: int = 0, signal: int = 0) -> Run:
        """The plan from now on: the n-th arrival at a point, or only to count."""
        self._number += 1
        run = self.folder / f"run-{self._number}"
        run.mkdir()
        fresh = self.folder / "next"
        fresh.write_text(f"{run.name} {name} {occurrence} {int(signal)}")
        fresh.rename(self.folder / PLAN)  # in one step: processes read it whenever they pass a point
        return Run(run)

    def drop(self) -> None:
        """No plan."""
        (self.folder / PLAN).unlink(missing_ok=True)
