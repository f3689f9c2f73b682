"""What every help text ends with: examples to copy, and the exit codes that scripts rely on."""

from __future__ import annotations

from typing import Final

from streams.cli.errors import (
    EXIT_DATA_WRONG,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NOT_FOUND,
    EXIT_NOT_READY,
    EXIT_USAGE,
)

EXIT_CODES: Final = {
    0: "ok, also with warnings",
    EXIT_FAILED: "failed or refused",
    EXIT_USAGE: "wrong usage or settings",
    EXIT_NOT_FOUND: "not found",
    EXIT_NOT_READY: "not ready, unreachable or timed out",
    EXIT_DATA_WRONG: "data is wrong",
    EXIT_INTERRUPTED: "interrupted",
}


def examples(*lines: str) -> str:
    """The end of a help text: command lines, and what their exit codes mean."""
    # Each is a paragraph, because rich-click joins the lines of one.
    return "\n\n".join(("Examples:", *(f"  {line}" for line in lines), _exit_codes()))


def _exit_codes() -> str:
    return "Exit codes: " + ", ".join(f"{code} {meaning.partition(',')[0]}" for code, meaning in EXIT_CODES.items())
