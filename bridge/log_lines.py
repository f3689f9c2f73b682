"""What a log line may hold: no secrets, nothing without end, and nothing that a terminal would obey. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from itertools import islice
from math import isfinite
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

VALUE_CHARS_MAX: Final = 2_000
"""Of one value of a line; an id has at most 128 characters, a reason a few hundred."""
TRACEBACK_CHARS_MAX: Final = 20_000
"""Its end is kept: there the error stands."""
ITEMS_MAX: Final = 20
"""Of a list or a mapping."""
DEPTH_MAX: Final = 3
"""Of lists in lists, which may not end."""
NUMBER_BITS_MAX: Final = 64
"""Python does not write out an integer of thousands of digits."""
SECRET_CHARS_MIN: Final = 6
"""Shorter ones are no secrets, and may be words that lines are made of."""
HIDDEN: Final = "***"

# Control characters, line ends of all kinds, marks that turn the direction of text, halves of characters.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_IN_TRACEBACKS: Final = re.compile(rf"(?!\n){_UNPRINTABLE.pattern}")
_LOGINS: Final = re.compile(r"(://[^\s/:@'\"]*:)[^\s/'\"]+@")
_TOKENS: Final = re.compile(r"\b(AccountKey=|SharedAccessSignature=|sig=|Bearer |Basic )[^\s;&'\"]+", re.IGNORECASE)
"""What is secret by where it stands, although no setting of this process holds it."""
_BEGIN: Final = re.compile("^", re.MULTILINE)
_KEYS: Final = re.compile(r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=([^;]+)")

TRACEBACKS: Final = ("exception", "stack")
"""What has more than one line."""

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


class Cleaned:
    """A processor of structlog that leaves out secrets, cuts what is long and escapes what is not printable."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """`secrets`: longest first, as `secrets_of` gives them."""
        self._hidden = re.compile("|".join(map(re.escape, secrets)) or r"(?!)")

    def __call__(self, _logger: object, _method: str, line: Line) -> Line:
        """The line, with every value of it clean."""
        for name, value in line.items():
            line[name] = self._traceback(str(value)) if name in TRACEBACKS else self._value(value, DEPTH_MAX)
        return line

    def _value(self, value: object, depth: int) -> object:
        match value:
            case None | bool():
                return value
            case int() if value.bit_length() <= NUMBER_BITS_MAX:
                return value
            case float() if isfinite(value):
                return value
            case Mapping() if depth:
                some = islice(value.items(), ITEMS_MAX)
                return {self._text(str(name)): self._value(each, depth - 1) for name, each in some}
            case list() | tuple() | set() | frozenset() if depth:
                return [self._value(each, depth - 1) for each in islice(value, ITEMS_MAX)]
            case int() | Mapping() | list() | tuple() | set() | frozenset():
                return f"a value of type {type(value).__name__}"
            case _:
                return self._text(str(value))

    def _text(self, text: str) -> str:
        text = self._without(text)
        over = len(text) - VALUE_CHARS_MAX
        return printable(text if over <= 0 else f"{text[:VALUE_CHARS_MAX]}... ({over} more)")

    def _traceback(self, text: str) -> str:
        return _IN_TRACEBACKS.sub(_escape, self._without(text)[-TRACEBACK_CHARS_MAX:])

    def _without(self, text: str) -> str:
        text = self._hidden.sub(HIDDEN, text)
        if "://" in text:
            text = _LOGINS.sub(rf"\1{HIDDEN}@", text)
        return _TOKENS.sub(rf"\1{HIDDEN}", text)


def moved_in(_logger: object, _method: str, line: Line) -> Line:
    """Tracebacks a little to the right, so that no line of what an exception says can look like a line of the log."""
    return {name: _BEGIN.sub("    ", value) if name in TRACEBACKS else value for name, value in line.items()}


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _passwords(secret: str) -> Iterable[str]:
    try:
        password = urlsplit(secret).password
    except ValueError:
        return ()
    return () if password is None else (password, unquote(password))
