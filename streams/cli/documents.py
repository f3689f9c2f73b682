"""What `--json` prints of objects that are our own."""

from __future__ import annotations

import msgspec


def as_text(document: msgspec.Struct) -> str:
    """The document on one line."""
    return msgspec.json.encode(document).decode()
