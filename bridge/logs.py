"""How the processes log: every line of ours and of every library goes to stderr, all in the same shape.

Tracebacks are without local variables: those hold message bodies and settings.
"""

from __future__ import annotations

import logging
import logging.config
import sys
import threading
from contextlib import suppress
from typing import Any, Final, NoReturn, TextIO

import structlog
from structlog.typing import Processor

from bridge.log_lines import Cleaned, moved_in, secrets_of
from bridge.printed import Printed
from bridge.settings import LogSettings, SettingsError, load

TALKATIVE: Final = ("azure", "aiormq", "aio_pika", "aiohttp.access")
"""A line or more a request, with headers: of use only while debugging one of them."""

_log = structlog.get_logger()


def configure_logs(settings: LogSettings, process: str, instance: str = "") -> None:
    """Begin to log, each line with the name of the process. No line has a value of a secret setting in `settings`."""
    stream = sys.stderr.stream if isinstance(sys.stderr, Printed) else sys.stderr
    formatter = _formatter(
        settings, stream.isatty(), {"process": process, **({"instance": instance} if instance else {})}
    )
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": lambda: formatter}},
        "handlers": {"stderr": {"()": lambda: _Lines(stream), "formatter": "lines"}},
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
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    if settings.log_format == "json":
        sys.stdout, sys.stderr = Printed("stdout", stream), Printed("stderr", stream)


def refuse(process: str, error: SettingsError) -> NoReturn:
    """End a process that cannot start with its settings, with a line that says so and what helps."""
    with suppress(SettingsError):  # how to log is among what is wrong, and is named in the sentence
        how = load(LogSettings)
        if how.log_format == "json":
            configure_logs(how, process)
            _log.critical(str(error), code="bad-settings", remedy=error.remedy)
            raise SystemExit(1)
    raise SystemExit(f"{process}: {error} (bad-settings)\n{error.remedy}")


_BEFORE: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
"""What happens to a line where it is logged, by whomever."""


def _formatter(settings: LogSettings, terminal: bool, process: dict[str, str]) -> logging.Formatter:
    def named(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        first = {name: line.pop(name) for name in ("timestamp", "level", "event") if name in line}
        return {**first, **line, **process}

    renderer: Processor = structlog.processors.JSONRenderer()  # in ASCII
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_BEFORE,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            *([named] if settings.log_format == "json" else []),
            Cleaned(secrets_of(dict(settings))),
            *([moved_in] if settings.log_format == "console" else []),
            renderer,
        ],
    )


class _Lines(logging.StreamHandler[TextIO]):
    """Lines to what stderr was when the process began."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say that a line is missing. The stock way prints its arguments, whatever they are."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            return  # nobody reads any more, and there is no other place to tell it
        said = ("a line could not be written: %s", (type(error).__name__,))
        lost = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, *said, None)
        self.stream.write(self.format(lost) + self.terminator)
        self.flush()


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), traceback)
    else:
        _log.critical("ends by an error that nobody expected", exc_info=error or kind)
