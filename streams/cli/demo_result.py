"""The result that the demo sends: invented, large, and the same every time it is asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from bridge.layout import MIB

_PATTERN_BYTES: Final = 1 * MIB


class Invented:
    """A series of payloads of one size; no two payloads are alike."""

    def __init__(self, name: str, payload_bytes: int, total_count: int) -> None:
        self._payload_bytes = payload_bytes
        self._pattern = hashlib.shake_128(name.encode()).digest(min(_PATTERN_BYTES, payload_bytes))
        self.total_count = total_count
        self.size = payload_bytes * total_count

    def chunk(self, ordinal: int) -> bytes:
        """The payload: its ordinal, then a pattern repeated."""
        start = f"{ordinal:08d}".encode()[: self._payload_bytes]
        repeats = self._payload_bytes // max(1, len(self._pattern)) + 1
        return (start + self._pattern * repeats)[: self._payload_bytes]

    def equals(self, file: Path) -> bool:
        """Whether the file is all payloads in their order."""
        with file.open("rb") as found:
            same = all(
                found.read(self._payload_bytes) == self.chunk(ordinal) for ordinal in range(1, self.total_count + 1)
            )
            return same and not found.read(1)


def invent(transaction: str) -> dict[str, Invented]:
    """Four series: one large, one of many small payloads, one of a single payload, one empty."""
    return {
        "cashflows": Invented(f"{transaction}/cashflows", 8 * MIB, 16),
        "trades": Invented(f"{transaction}/trades", 4_000, 300),
        "summary": Invented(f"{transaction}/summary", 1_234, 1),
        "warnings": Invented(f"{transaction}/warnings", 0, 0),
    }
