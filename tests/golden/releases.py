"""Every release, and what it has written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.golden import release_0_1_0
from tests.golden.sample import Sample

FOLDER: Final = Path(__file__).parent
RELEASES: Final[dict[str, Callable[[], dict[str, Sample]]]] = {"0.1.0": release_0_1_0.samples}


def files(release: str) -> dict[str, bytes]:
    """What is kept of a release, by name."""
    folder = FOLDER / release
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
