"""A decoder and what may come of any input: its value, its documented error, and never more memory than a bound."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Final

from bridge.unreadable import Unreadable

INPUT_MAX_BYTES: Final = 1 << 16
CORPUS: Final = Path(__file__).parent / "corpus"


class TooMuchMemoryError(AssertionError):
    """An input needs more memory than its length explains."""


@dataclass(frozen=True)
class Target:
    """One decoder, with what is done to its values at once."""

    name: str
    run: Callable[[bytes], None]
    """Raises whatever is not documented; catches what is."""
    seeds: Callable[[], Iterable[bytes]]
    """Inputs that a real installation has."""
    base_bytes: int = 4 << 20
    """Of memory, whatever the input: what the decoder and its surroundings need."""
    factor: int = 100
    """Bytes of memory a byte of input may cost. Python needs 50 for a small object, and JSON has one in 3 bytes."""
    json: bool = False
    """Its inputs are JSON, so they are also damaged as values."""
    every: int = 41
    """Of all odd values in all places one in so many is tried with every run of the tests."""
    tokens: tuple[bytes, ...] = ()
    """Words that a coverage-blind fuzzer would not find."""

    def check(self, data: bytes) -> None:
        """Run it on an input. Raises what it finds."""
        tracemalloc.start()
        try:
            self.run(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        most = self.base_bytes + self.factor * len(data)
        if peak > most:
            raise TooMuchMemoryError(f"{self.name}: {len(data)} bytes of input took {peak} of memory, at most {most}")

    @property
    def folder(self) -> Path:
        """Where its corpus is kept."""
        return CORPUS / self.name

    def corpus(self) -> list[bytes]:
        """Everything that is worth running again: the seeds, and what was found once."""
        kept = [file.read_bytes() for file in sorted(self.folder.glob("*"))] if self.folder.is_dir() else []
        return [*self.seeds(), *kept]

    def keep(self, data: bytes) -> Path:
        """Put an input into the corpus."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / sha1(data, usedforsecurity=False).hexdigest()[:16]
        file.write_bytes(data)
        return file


def says_why(error: Unreadable) -> None:
    """What is said of a record that was not read."""
    assert str(error).endswith(f"({error.code})")
    assert str(error).isascii()
