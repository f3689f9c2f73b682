"""Points between an effect and its record, at which a test can have a process die. In production nothing happens there.

`crash_point("delivery.outcome-written")` says what has just been done and is not known to anybody yet. It calls an
empty function, unless the process is started with `BRH_CRASH_FOLDER`. Then the folder says what is to happen:

    plan          one line: run, name, occurrence, signal. The process that is the n-th to arrive there, counted over
                  all processes of this folder, sends the signal to itself. Without a plan nothing is counted
    RUN/NAME      who arrived, `ARRIVAL_BYTES` for each
    RUN/fired     the process id, written before the signal

So a plan that never fires is seen, and a run without a crash (occurrence 0) counts how often each point is passed.
Names are `process.what-has-happened`, each is used once, and `tests/crash` has a run for each of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

FOLDER: Final = "BRH_CRASH_FOLDER"
PLAN: Final = "plan"
FIRED: Final = "fired"
ARRIVAL_BYTES: Final = 12


def _pass_by(_name: str) -> None:
    """What a point is in production."""


def _armed(folder: Path) -> Callable[[str], None]:
    def arrive(name: str) -> None:
        try:
            run, wanted, occurrence, signal = (folder / PLAN).read_text().split()
        except FileNotFoundError:
            return
        with (folder / run / name).open("ab", buffering=0) as arrivals:
            arrivals.write(f"{os.getpid():>{ARRIVAL_BYTES - 1}}\n".encode())
            count = arrivals.tell() // ARRIVAL_BYTES
        if (name, str(count)) == (wanted, occurrence):
            (folder / run / FIRED).write_text(str(os.getpid()))
            os.kill(os.getpid(), int(signal))

    return arrive


crash_point: Final = _armed(Path(os.environ[FOLDER])) if os.environ.get(FOLDER) else _pass_by
