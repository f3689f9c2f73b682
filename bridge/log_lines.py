"""What a log line may hold: no secrets, nothing without end, and nothing that a terminal would obey. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

VALUE_CHARS_MAX: Final = 2_000
"""Of one value of a line; an id has at most 128 characters, a reason a few hundred."""
TRACEBACK_CHARS_MAX: Final = 20_000
"""Its end is kept: there the error stands."""
SECRET_CHARS_MIN: Final = 6
"""Shorter ones are no secrets, and may be words that lines are made of."""
HIDDEN: Final = "***"

# Control characters, line ends of all kinds, marks that turn the direction of text, halves of characters.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_IN_TRACEBACKS: Final = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_KEYS: Final = re.compile(r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=([^;]+)")

Line = MutableMapping[str, Any]


def printable(text: str) -> str:
    """The text with what is not printable written as an escape, as in Python."""
    return _UNPRINTABLE.sub(_escape, text)


def secrets_of(settings: Mapping[str, object]) -> list[str]:
    """What may never be in a line, longest first: secret settings, and passwords and keys within them."""
    found: set[str] = set()
    for value in settings.values():
        if isinstance(value, SecretStr) and (secret := value.get_secret_value()):
            found |= {secret, *_KEYS.findall(secret), *_passwords(secret)}
    return sorted((each for each in found if len(each) >= SECRET_CHARS_MIN), key=len, reverse=True)


def cleaned(secrets: Iterable[str]) -> Callable[[object, str, Line], Line]:
    """A processor of structlog that leaves out these secrets, cuts what is long and escapes what is not printable."""
    hidden = re.compile("|".join(map(re.escape, secrets)) or r"(?!)")

    def clean(value: object) -> object:
        if isinstance(value, str):
            text = hidden.sub(HIDDEN, value)
            over = len(text) - VALUE_CHARS_MAX
            return printable(text if over <= 0 else f"{text[:VALUE_CHARS_MAX]}... ({over} more)")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {clean(str(name)): clean(each) for name, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(each) for each in value]
        return clean(str(value))

    def process(_logger: object, _method: str, line: Line) -> Line:
        for name, value in line.items():
            if name == "exception":
                text = hidden.sub(HIDDEN, str(value))[-TRACEBACK_CHARS_MAX:]
                line[name] = _IN_TRACEBACKS.sub(_escape, text)
            else:
                line[name] = clean(value)
        return line

    return process


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _passwords(secret: str) -> Iterable[str]:
    try:
        password = urlsplit(secret).password
    except ValueError:
        return ()
    return () if password is None else (password, unquote(password))
