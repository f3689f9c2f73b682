"""Imported first by a bridge that runs as a process of its own: keeps out what it would load and never use."""

from __future__ import annotations

import sys

_main = getattr(sys.modules["__main__"], "__spec__", None)
if _main is not None and _main.name == "bridge.__main__":
    # structlog imports rich where it is installed, for tracebacks with local variables, which we do not show: 3 MiB.
    # None is how the import system says that there is no such module; as mypy knows it, only modules are in there.
    sys.modules["rich"] = None  # type: ignore[assignment]  # as said above
