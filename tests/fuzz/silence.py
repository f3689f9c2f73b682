"""Every damaged record is logged, which is right and takes most of the time."""

from __future__ import annotations

import logging

import structlog


def be_silent() -> None:
    """For the rest of this process."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
