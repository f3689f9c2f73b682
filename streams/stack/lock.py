"""One command at a time in one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.stack.deadline import Deadline
from streams.stack.errors import StackError

_FILE: Final = "lock"
_POLL_S: Final = 0.1


@contextmanager
def held(folder: Path, say: Callable[[str], None], timeout_s: float = 300) -> Iterator[None]:
    """Hold the lock of `folder`, which is made when missing. Ends with the process, however that ends.

    Raises:
        StackError: somebody else held it for `timeout_s`.
    """
    deadline = Deadline(timeout_s)
    told = False
    while (descriptor := _try(folder)) is None:
        if not told:
            say(f"waiting for another command that works in {folder}")
            told = True
        if not deadline.pause(_POLL_S):
            raise StackError(
                f"another command has been working in {folder} for {timeout_s:.0f} s",
                code="stack-busy",
                remedy="Wait for it or end it, then try again.",
            )
    try:
        yield
    finally:
        os.close(descriptor)


def forget(folder: Path) -> None:
    """Remove the lock file. Only its holder may."""
    (folder / _FILE).unlink(missing_ok=True)


def _try(folder: Path) -> int | None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / _FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A holder that wiped the folder has removed the file which we have opened: then this lock guards nothing.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
