"""The JSON in a header message: read strictly, checked, and given a digest of its value. Pure.

Two headers are the same when they are the same JSON value, so the digest is taken of a canonical form: members in the
order of their names, no white space, one spelling for each string and each number (`1`, `1.0` and `10e-1` are one
number; nothing is rounded). Members that we do not know take part in it, though they are ignored otherwise.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, NoReturn, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from bridge.contract.inbound import (
    SERIES_MAX,
    Header,
    Rejected,
    RejectionCode,
    SeriesSpec,
    Timeouts,
    is_series_type,
    is_transaction_type,
)
from bridge.contract.wire import CONTENT_TYPE, ON_CONFLICT, ON_TIMEOUT, HeaderBody, SeriesBody
from bridge.durations import EXPECTED_LIMIT, limit_s
from bridge.quoting import quoted

DEPTH_MAX: Final = 64
"""Levels of nesting. Python's own limit depends on how deep the caller stands; ours gives every bridge one answer."""
NUMBER_CHARS_MAX: Final = 512
"""Of one number as written. Python refuses integers of more than 4,300 digits, and needs quadratic time up to there."""
_Choice = TypeVar("_Choice", bound=str)


class _UnfitError(Exception):
    """The body cannot be accepted; carries the rejection out of nested parsing, never leaves this module."""

    def __init__(self, reason: str, code: RejectionCode = RejectionCode.BAD_HEADER_BODY) -> None:
        super().__init__(reason)
        self.rejected = Rejected(code, reason)


class Real(msgspec.Struct, frozen=True):
    """A JSON number that is written with a fraction or an exponent, so none of our integers, in its one spelling."""

    text: str


def parse_body(body: bytes) -> tuple[Header, str] | Rejected:
    """What a header's body says, and the digest of its JSON value (BLAKE2b-128, 32 hex digits).

    The caller has checked the body's length. `too-many-series` comes before anything else about the members, so that
    no work is spent on them; whatever else is wrong is `bad-header-body`, also a series type that cannot be one.
    """
    try:
        value = _read(body)
        canonical = _canonical(value).encode()
        return _header(value), hashlib.blake2b(canonical, digest_size=16).hexdigest()
    except _UnfitError as unfit:
        return unfit.rejected
    except UnicodeEncodeError:
        return Rejected(
            RejectionCode.BAD_HEADER_BODY, "a string of the body holds half a surrogate pair, expected text"
        )


def _read(body: bytes) -> object:
    """The JSON value of the body; objects are dicts, numbers int or Real. Raises _UnfitError."""
    try:
        return _decoder.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _UnfitError(f"the body is not UTF-8 at byte {error.start}, expected JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise _UnfitError(f"the body is not JSON: {error.msg} (character {error.pos}), expected an object") from None
    except RecursionError:
        _too_deep()


def _too_deep() -> NoReturn:
    raise _UnfitError(f"the body nests too deep, expected at most {DEPTH_MAX} levels")


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in members:
        # Parsers differ in which of two wins, so a producer and we could believe in different headers.
        if name in found:
            raise _UnfitError(f"member {quoted(name)} occurs twice in one object, expected once")
        found[name] = value
    return found


def _integer(literal: str) -> int:
    return int(_bounded(literal))


def _real(literal: str) -> Real:
    mantissa, _, exponent = _bounded(literal).lower().partition("e")
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return Real("0")
    power = int(exponent or "0") - len(fraction) + len(digits) - len(significant)
    sign = "-" if mantissa.startswith("-") else ""
    if 0 <= power <= NUMBER_CHARS_MAX - len(significant):
        return Real(sign + significant + "0" * power)  # as the same number is written as an integer
    return Real(f"{sign}{significant}e{power}")


def _bounded(literal: str) -> str:
    if len(literal) > NUMBER_CHARS_MAX:
        raise _UnfitError(f"a number of {len(literal)} characters, expected at most {NUMBER_CHARS_MAX}")
    return literal


def _constant(literal: str) -> NoReturn:
    raise _UnfitError(f"{literal} is not JSON, expected a number")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant)
_scalar = json.JSONEncoder(ensure_ascii=False).encode


def _canonical(value: object, depth: int = 0) -> str:
    """The one spelling of a JSON value. Raises _UnfitError when it nests too deep."""
    if isinstance(value, Real):
        return value.text
    if type(value) is int:  # by far faster than the encoder, for a body full of numbers
        return str(value)
    if not isinstance(value, dict | list):
        return _scalar(value)
    if depth == DEPTH_MAX:
        _too_deep()
    if isinstance(value, list):
        return f"[{','.join([_canonical(item, depth + 1) for item in value])}]"
    members = [f"{_scalar(name)}:{_canonical(value[name], depth + 1)}" for name in sorted(value)]
    return f"{{{','.join(members)}}}"


def _header(value: object) -> Header:
    """The header that the value is. Raises _UnfitError."""
    series = value.get("series") if isinstance(value, dict) else None
    if isinstance(series, list) and len(series) > SERIES_MAX:
        reason = f"the header has {len(series)} series, expected at most {SERIES_MAX}"
        raise _UnfitError(reason, RejectionCode.TOO_MANY_SERIES)
    try:
        body = msgspec.convert(value, HeaderBody)
    except msgspec.ValidationError as error:  # its message holds paths and types, nothing of the sender's text
        raise _UnfitError(f"the header does not fit: {error}") from None
    if not is_transaction_type(body.transaction_type):
        _wrong("$.transactionType", body.transaction_type, "up to 63 of A-Z a-z 0-9 _ - with a letter or digit first")
    return Header(
        series=_series(body.series),
        transaction_type=body.transaction_type,
        timeouts=Timeouts(
            idle_s=_seconds("$.timeouts.idle", body.timeouts.idle),
            awaiting_s=_seconds("$.timeouts.awaiting", body.timeouts.awaiting),
        ),
        on_timeout=_choice("$.onTimeout", body.on_timeout, ON_TIMEOUT),
        on_conflict=_choice("$.onConflict", body.on_conflict, ON_CONFLICT),
        labels=body.labels,
    )


def _series(entries: list[SeriesBody]) -> tuple[SeriesSpec, ...]:
    specs: dict[str, SeriesSpec] = {}
    for index, entry in enumerate(entries):
        at = f"$.series[{index}]"
        if not is_series_type(entry.type):
            _wrong(f"{at}.type", entry.type, "1 to 63 of A-Z a-z 0-9 . _ - with letter or digit at both ends, no `..`")
        if entry.type in specs:
            _wrong(f"{at}.type", entry.type, "a type that no other series of the header has")
        content_type = None if entry.content_type is UNSET else entry.content_type
        if content_type is not None and not CONTENT_TYPE.fullmatch(content_type):
            _wrong(f"{at}.contentType", content_type, "1 to 255 printable ASCII characters without outer spaces")
        total_count = None if entry.total_count is UNSET else entry.total_count
        specs[entry.type] = SeriesSpec(type=entry.type, total_count=total_count, content_type=content_type)
    return tuple(specs.values())


def _seconds(member: str, text: str | UnsetType) -> float | None:
    if text is UNSET:
        return None
    seconds = limit_s(text)
    if seconds is None:
        _wrong(member, text, EXPECTED_LIMIT)
    return seconds


def _choice(member: str, text: str | UnsetType, allowed: tuple[_Choice, ...]) -> _Choice | None:
    chosen = next((choice for choice in allowed if choice == text), None)
    if chosen is None and text is not UNSET:
        _wrong(member, text, " or ".join(allowed))
    return chosen


def _wrong(member: str, found: str, expected: str) -> NoReturn:
    raise _UnfitError(f"{member} is {quoted(found)}, expected {expected}")
