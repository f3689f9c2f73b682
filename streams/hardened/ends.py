"""How a process ends itself, and the exit codes that say why.

70  an agent, a delivery or the sweep failed: an error of ours
71  a record could not be sent or was not acknowledged
75  the group has accepted no heartbeat for most of a session, or does not know the member any more
76  the process stood still for longer than half a session
77  a topic has another number of partitions than the settings say; in production also anything else around the process
    that does not suit it
78  no progress for longer than `stall_s`, although something waits: events, a recovery, the start itself
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from bridge import metrics

EXIT_AGENT: Final = 70
EXIT_SEND: Final = 71
EXIT_FENCE: Final = 75
EXIT_FROZEN: Final = 76
EXIT_SURROUNDINGS: Final = 77
EXIT_STALLED: Final = 78
EXIT_CODES: Final = (EXIT_AGENT, EXIT_SEND, EXIT_FENCE, EXIT_FROZEN, EXIT_SURROUNDINGS, EXIT_STALLED)

log = logging.getLogger(__name__)


_ledger: Final[list[int]] = []
"""The file in which ends are counted, open."""


def remember_ends(file: Path) -> dict[int, int]:
    """Keep count in this file of how often the process ends itself. Returns by exit code what it says so far.

    A counter in memory ends with the process, so nobody could be told of a fence that trips again and again.
    """
    counts = dict.fromkeys(EXIT_CODES, 0)
    for line in file.read_text().splitlines() if file.exists() else ():
        code, _, times = line.partition(" ")
        if code.isdecimal() and times.isdecimal() and int(code) in counts:
            counts[int(code)] += int(times)
    added_up = file.with_suffix(".new")
    added_up.write_text("".join(f"{code} {times}\n" for code, times in counts.items()))
    added_up.replace(file)
    while _ledger:
        os.close(_ledger.pop())
    # Open from now on, so that the end itself takes one write of a few bytes.
    _ledger.append(os.open(file, os.O_WRONLY | os.O_APPEND))
    return counts


def count_ends(file: Path) -> None:
    """Tell Prometheus, too; once in a process. Codes with which it never ended stand at 0."""
    for code, times in remember_ends(file).items():
        metrics.ENDED.labels(str(code)).inc(times)


def end_process(code: int, why: str, error: BaseException | None = None) -> NoReturn:
    """End at once, without acknowledging or committing anything."""
    log.critical("ends itself with exit code %d: %s", code, why, exc_info=error)
    for ledger in _ledger:
        with suppress(OSError):  # a full disk must not keep it from ending
            os.write(ledger, f"{code} 1\n".encode())
    logging.shutdown()
    os._exit(code)
