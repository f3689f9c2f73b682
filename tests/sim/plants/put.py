"""How a bug gets into the product: an attribute is replaced, until it is taken out again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Put: TypeAlias = Callable[[Any, str, Any], None]
"""Owner, name, value."""
Plant: TypeAlias = Callable[[Put], None]
