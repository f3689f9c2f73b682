"""Reading JSON that another process wrote, perhaps of another release: what it may raise, and the codes for it. Pure.

A record says which version of its kind it is, in a member `v`; without one it is version 1. Members may be added to a
version, and whoever does not know them passes over them. What changes the meaning of a record raises its version, and
who does not know that version must not act on it: it refuses the record whole, by a code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import UnsetType

from bridge.quoting import quoted

UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""msgspec's own error, and what it lets through: text that is no UTF-8, or half a surrogate pair that another decoder
has let pass, and values nested beyond Python's recursion."""

VERSION: Final = 1
Version = Literal[1] | UnsetType
"""The type of the member `v`: UNSET, which is not written, is version 1."""
DETAIL_CHARS_MAX: Final = 500
"""Of what is said about a record: msgspec quotes from it, and a record may have megabytes."""

_Value = TypeVar("_Value")


class ReadCode(StrEnum):
    """Why a record was not read. The strings are public and stable."""

    NEWER_VERSION = "newer-version"
    UNKNOWN_TYPE = "unknown-type"
    UNREADABLE = "unreadable"


class Unreadable(msgspec.DecodeError):
    """A record that this release cannot read; the text ends with the code in parentheses."""

    def __init__(self, code: ReadCode, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code


class _Peek(msgspec.Struct, frozen=True):
    """What every version of every record says of itself."""

    v: int = VERSION
    type: str = ""
    kind: str = ""


def read(decoder: msgspec.json.Decoder[_Value], body: bytes, types: Collection[str] = ()) -> _Value:
    """The value in a record; `types` are the tags that the decoder knows, where it has any. Raises Unreadable."""
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        try:
            peek = msgspec.json.decode(body, type=_Peek)
        except UNREADABLE:
            peek = _Peek()
        raise _why(peek, error, types) from error


def convert(plain: Mapping[str, Any], kind: Any, types: Collection[str] = ()) -> Any:
    """As `read`, of JSON that somebody has decoded already. Raises Unreadable."""
    try:
        found = msgspec.convert(plain, kind)
        msgspec.json.encode(found)  # Python's own decoder lets half a surrogate pair pass, which nobody can write again
    except UNREADABLE as error:
        try:
            peek = msgspec.convert(plain, _Peek)
        except UNREADABLE:
            peek = _Peek()
        raise _why(peek, error, types) from error
    return found


def _why(peek: _Peek, error: Exception, types: Collection[str]) -> Unreadable:
    tag = peek.type or peek.kind
    if peek.v > VERSION:
        said = f"it is of version {quoted(peek.v)}, and this release knows version {VERSION}"
        return Unreadable(ReadCode.NEWER_VERSION, said)
    if types and tag and tag not in types:
        return Unreadable(ReadCode.UNKNOWN_TYPE, f"this release knows no record of type {quoted(tag)}")
    # Escaped, because msgspec quotes names and tags of whoever wrote it.
    return Unreadable(ReadCode.UNREADABLE, ascii(str(error))[1:-1][:DETAIL_CHARS_MAX])
