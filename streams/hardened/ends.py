"""How a process ends itself, and the exit codes that say why.

70  an agent, a delivery or the sweep failed: an error of ours
71  a record could not be sent or was not acknowledged
75  the group has accepted no heartbeat for most of a session, or does not know the member any more
76  the process stood still for longer than half a session
78  no progress for longer than `stall_s`, although something waits: events, a recovery, the start itself
"""

from __future__ import annotations

import logging
import os
from typing import Final, NoReturn

EXIT_AGENT: Final = 70
EXIT_SEND: Final = 71
EXIT_FENCE: Final = 75
EXIT_FROZEN: Final = 76
EXIT_STALLED: Final = 78

log = logging.getLogger(__name__)


def end_process(code: int, why: str, error: BaseException | None = None) -> NoReturn:
    """End at once, without acknowledging or committing anything."""
    log.critical("ends itself with exit code %d: %s", code, why, exc_info=error)
    logging.shutdown()
    os._exit(code)
