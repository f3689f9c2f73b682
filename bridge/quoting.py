"""Text from outside, fit to be shown in a log line, a problem or a terminal. Pure."""

from __future__ import annotations

from typing import Final

QUOTED_CHARS_MAX: Final = 80


def quoted(value: object) -> str:
    """The value in printable ASCII, cut to `QUOTED_CHARS_MAX` characters.

    Line ends, terminal escapes and bidirectional marks would forge log lines, and a header value may be as long as
    an AMQP frame. A nested value is only named: printing one may recurse without end.
    """
    if isinstance(value, str | bytes | bytearray):
        start = value[:QUOTED_CHARS_MAX]
        shown = ascii(start if isinstance(start, str) else bytes(start))
    elif value is None or isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        shown = repr(value)
    else:
        return f"a value of type {type(value).__name__[:QUOTED_CHARS_MAX]}"
    return shown if len(shown) <= QUOTED_CHARS_MAX else shown[: QUOTED_CHARS_MAX - 3] + "..."
