"""How the processes log: every line of ours and of every library goes to stderr, all in the same shape.

Tracebacks are without local variables: those hold message bodies and settings.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import threading
from typing import Any, Final, NoReturn

import structlog
from structlog.typing import Processor

from bridge.log_lines import cleaned, secrets_of
from bridge.settings import LogSettings, SettingsError, load

TALKATIVE: Final = ("azure", "aiormq", "aio_pika", "aiohttp.access")
"""A line or more a request, with headers: of use only while debugging one of them."""

_log = structlog.get_logger()


def configure_logs(settings: LogSettings, process: str, instance: str = "") -> dict[str, Any]:
    """Begin to log, each line with the name of the process.

    No line has a value of a secret setting in `settings`.

    Returns what `logging.config.dictConfig` takes: the workers of mode and Faust configure anew with it.
    """
    formatter = _formatter(settings, {"process": process, **({"instance": instance} if instance else {})})
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": lambda: formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"level": settings.log_level.upper(), "handlers": ["stderr"]},
        "loggers": {name: {"level": "WARNING"} for name in TALKATIVE},
    }
    logging.config.dictConfig(config)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_BEFORE,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    return config


def refuse(process: str, error: SettingsError) -> NoReturn:
    """End a process that cannot start with its settings, with a line that says so."""
    said = f"{process}: {error} (bad-settings)"
    try:
        as_json = load(LogSettings).log_format == "json"
    except SettingsError:
        as_json = False
    line = {"level": "critical", "event": str(error), "code": "bad-settings", "process": process}
    raise SystemExit(json.dumps(line) if as_json else said) from None


_BEFORE: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
"""What happens to a line where it is logged, by whomever."""


def _formatter(settings: LogSettings, process: dict[str, str]) -> logging.Formatter:
    def named(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        first = {name: line.pop(name) for name in ("timestamp", "level", "event") if name in line}
        return {**first, **line, **process}

    renderer: Processor = structlog.processors.JSONRenderer()  # in ASCII
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_BEFORE,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            *([named] if settings.log_format == "json" else []),
            cleaned(secrets_of(dict(settings))),
            renderer,
        ],
    )


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), traceback)
    else:
        _log.critical("ends by an error that nobody expected", exc_info=error or kind)
