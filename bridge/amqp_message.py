"""The two frames that every message begins with, read without the codec's generality. Pure.

A small message costs a bridge more for these than for its body: pamqp looks up the reader of each value by its name,
again for every message (11 us for the two, 5 us here). What becomes of them stays the codec's own types.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from pamqp import commands

from bridge.amqp_table import as_time, read_table

_DELIVER: Final = b"\x00\x3c\x00\x3c"
"""Class and method of Basic.Deliver."""
_TAG: Final = struct.Struct(">Q?")
_FLAGS: Final = struct.Struct(">H")


def read_deliver(payload: bytes) -> commands.Basic.Deliver | None:
    """The tag, the routing key and whether it came before; None: it is another method.

    The names of the consumer and of the exchange are left out, since no message is handled by them. Raises LookupError
    or struct.error when it ends too early.
    """
    if payload[:4] != _DELIVER:
        return None
    at = 5 + payload[4]
    tag, redelivered = _TAG.unpack_from(payload, at)
    at += _TAG.size
    _, routing_key = _short_string(payload, at + 1 + payload[at])
    return commands.Basic.Deliver(None, tag, redelivered, "", routing_key)


def read_properties(encoded: bytes) -> commands.Basic.Properties:
    """All that a content header says of a message, from its flags on.

    Text that is no UTF-8 keeps surrogates in place of what cannot be read, a table that cannot be read is empty, and a
    time that Python does not know is None. Raises LookupError, ValueError or struct.error when it ends too early.
    """
    (flags,) = _FLAGS.unpack_from(encoded)
    found = commands.Basic.Properties()
    at = _FLAGS.size
    for bit, name, read in _PROPERTIES:
        if flags & bit:
            at, value = read(encoded, at)
            setattr(found, name, value)
    if at > len(encoded):
        raise ValueError("properties end too early")
    return found


def _short_string(encoded: bytes, at: int) -> tuple[int, str]:
    end = at + 1 + encoded[at]
    # Surrogates keep the type, and no rule of the contract lets them through.
    return end, encoded[at + 1 : end].decode(errors="surrogateescape")


def _octet(encoded: bytes, at: int) -> tuple[int, int]:
    return at + 1, encoded[at]


def _time(encoded: bytes, at: int) -> tuple[int, Any]:
    return at + 8, as_time(int.from_bytes(encoded[at : at + 8], "big"))


def _table(encoded: bytes, at: int) -> tuple[int, dict[str, Any]]:
    length = 4 + int.from_bytes(encoded[at : at + 4], "big")
    try:
        return at + length, read_table(encoded[at : at + length])[1]
    except ValueError:
        return at + length, {}


_READERS: Final[dict[str, Callable[[bytes, int], tuple[int, Any]]]] = {
    "headers": _table,
    "delivery_mode": _octet,
    "priority": _octet,
    "timestamp": _time,
}
_PROPERTIES: Final = tuple(
    (bit, name, _READERS.get(name, _short_string)) for name, bit in commands.Basic.Properties.flags.items()
)
"""In the order in which they stand."""
