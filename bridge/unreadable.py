"""What reading JSON from outside may raise. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""msgspec's own error, and what it lets through: text that is no UTF-8, and values nested beyond Python's recursion."""
