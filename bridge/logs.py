"""How the processes log: our own lines by structlog, and libraries that say too much at INFO held back."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

TALKATIVE: Final = ("azure", "aiormq", "aio_pika")
"""A line or more a request, with headers: of use only while debugging one of them."""


def configure_logs() -> None:
    """Write to stderr, and show tracebacks without local variables: those hold message bodies and settings."""
    quiet_libraries()
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def quiet_libraries() -> None:
    """Let the talkative ones speak from WARNING on."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
