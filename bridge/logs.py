"""Loggers of libraries that say too much at INFO."""

from __future__ import annotations

import logging
from typing import Final

TALKATIVE: Final = ("azure", "aiormq", "aio_pika")
"""A line or more a request, with headers: of use only while debugging one of them."""


def quiet_libraries() -> None:
    """Let the talkative ones speak from WARNING on."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
