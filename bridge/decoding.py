"""How AMQP's values are decoded: no message may be unreadable."""

from __future__ import annotations

from datetime import datetime

from pamqp import decode
from pamqp.common import FieldTable

from bridge.amqp_table import as_time, read_table


def decode_whatever_comes() -> None:
    """Let the AMQP codec read messages that its users would close their connection for.

    A producer may write bytes that are no UTF-8 into a short string, or a time beyond the year 9999, and RabbitMQ takes
    it. pamqp raises, and aiormq gives up the connection: the broker delivers the same message again, until it reaches
    its delivery limit, and so do all those that were in hand with it, which are dead-lettered though nothing is wrong
    with them. What cannot be read must become a value that the contract's rules can refuse.
    """
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _table
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _timestamp


def _short_string(value: bytes) -> tuple[int, str]:
    end = value[0] + 1
    # Surrogates keep the type, which the library relies on, and no rule of the contract lets them through.
    return end, value[1:end].decode(errors="surrogateescape")


def _table(value: bytes) -> tuple[int, FieldTable]:
    """The headers; none when they cannot be read, as with a name that is no UTF-8, which AMQP forbids."""
    try:
        return read_table(value)
    except ValueError:
        return 4 + int.from_bytes(value[:4], "big"), {}


def _timestamp(value: bytes) -> tuple[int, datetime | None]:
    return 8, as_time(int.from_bytes(value[:8], "big"))
