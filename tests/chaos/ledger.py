"""The producer's ledger: JSON lines, on disk before anything is published. It knows nothing of the product.

`send` says what is about to be published, `confirmed` that the broker has it, `done` that nothing more will come.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class LedgerWriter:
    """Appends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, records: Iterable[dict[str, Any]], *, durable: bool) -> None:
        """`durable`: return when they are on disk."""
        self._file.write(b"".join(json.dumps(each).encode() + b"\n" for each in records))
        if durable:
            os.fdatasync(self._file.fileno())


class LedgerReader:
    """Follows a ledger that is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The records since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):  # half of it is there
                    return
                self._at += len(line)
                yield json.loads(line)
