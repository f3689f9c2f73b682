"""How a process ends itself, and the exit codes that say why."""

from __future__ import annotations

import logging
import os
from typing import Final, NoReturn

EXIT_AGENT: Final = 70
EXIT_SEND: Final = 71

log = logging.getLogger(__name__)


def end_process(code: int, why: str, error: BaseException | None = None) -> NoReturn:
    """End at once, without acknowledging or committing anything."""
    log.critical("ends itself with exit code %d: %s", code, why, exc_info=error)
    logging.shutdown()
    os._exit(code)
