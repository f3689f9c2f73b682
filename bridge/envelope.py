"""The rules of the inbound contract: an AMQP message becomes one of our messages, or the reason why it cannot. Pure.

The checks stand in the public order (type, transaction id, series type, ordinal, total count, size, the rest) and the
first that fails is the code. All of them but a header's body need only what AMQP sends ahead of the first body byte,
so a message that cannot be accepted costs no memory, however big it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

import msgspec

from bridge.contract.inbound import (
    HEADER_MAX_BYTES,
    HEADER_TYPE,
    PAYLOAD_MAX_BYTES,
    PAYLOAD_TYPE,
    TOTAL_COUNT_MAX,
    HeaderMessage,
    PayloadMessage,
    Rejected,
    RejectionCode,
    Trace,
    is_series_type,
    is_transaction_id,
)
from bridge.header_body import parse_body
from bridge.quoting import quoted

REPLY_TO_MAX_BYTES: Final = 255
"""An AMQP short string: longer, the notification could never be addressed."""
TRACESTATE_CHARS_MAX: Final = 512
"""What W3C Trace Context asks everybody to carry; more is dropped."""

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_TRACE_IDS: Final = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# Version 00 ends with the flags, a later one may go on; ff and ids of zeros are invalid (W3C Trace Context, 3.2).
_TRACEPARENT = re.compile(rf"00{_TRACE_IDS}|(?!00|ff)[0-9a-f]{{2}}{_TRACE_IDS}(?:-[!-~]{{1,200}})?")
_TRACESTATE = re.compile(rf"[\t -~]{{1,{TRACESTATE_CHARS_MAX}}}")
_PLAIN_ENCODINGS: Final = frozenset({"", "identity", "utf-8", "utf8"})
"""Names for "as it is": Spring AMQP and kombu put the character set of every JSON message here."""
_NO_TRACE: Final = Trace()

_ID_RULE: Final = "1 to 128 of A-Z a-z 0-9 . _ - with a letter or digit at both ends and no `..`"
_SERIES_RULE: Final = "1 to 63 of A-Z a-z 0-9 . _ - with a letter or digit at both ends and no `..`"


class Properties(msgspec.Struct, frozen=True):
    """What AMQP tells of a message before its body; adapters fill it."""

    type: str | None = None
    correlation_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    app_id: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, object] = {}
    """The decoded table. A string that is not UTF-8 stays bytes, and so is a bad value wherever we look at it."""


def parse_payload(
    properties: Properties, size: int, *, payload_max_bytes: int = PAYLOAD_MAX_BYTES
) -> PayloadMessage | Rejected:
    """The payload message with a body of `size` bytes, of which nothing needs to be there yet.

    An ordinal that is no integer from 1 is `bad-ordinal` whatever the total count. One above the total count can be
    called so only when the total count itself can be believed: with both off, `bad-total-count` is the code.
    """
    headers = properties.headers
    transaction, series = properties.correlation_id, headers.get("brh_series_type")
    # `type() is int`: True is an int to isinstance, and a float or Decimal would lose digits on the way to a block id.
    ordinal, total_count = headers.get("brh_ordinal"), headers.get("brh_total_count")
    if properties.type != PAYLOAD_TYPE:
        return _refuse(RejectionCode.BAD_TYPE, "type", properties.type, PAYLOAD_TYPE)
    if not is_transaction_id(transaction):
        return _refuse(RejectionCode.BAD_TRANSACTION_ID, "correlation_id", transaction, _ID_RULE)
    if not is_series_type(series):
        return _refuse(RejectionCode.BAD_SERIES_TYPE, "brh_series_type", series, _SERIES_RULE)
    if type(ordinal) is not int or ordinal < 1:
        return _refuse(RejectionCode.BAD_ORDINAL, "brh_ordinal", ordinal, "an AMQP integer from 1 to the total count")
    if type(total_count) is not int or not 1 <= total_count <= TOTAL_COUNT_MAX:
        rule = f"an AMQP integer from 1 to {TOTAL_COUNT_MAX}"
        return _refuse(RejectionCode.BAD_TOTAL_COUNT, "brh_total_count", total_count, rule)
    if ordinal > total_count:
        return _refuse(RejectionCode.BAD_ORDINAL, "brh_ordinal", ordinal, f"at most the total count {total_count}")
    if size > payload_max_bytes:
        return _refuse(RejectionCode.PAYLOAD_TOO_LARGE, "the body's size", size, f"at most {payload_max_bytes} bytes")
    # An absent header and AMQP's void are the same: the producer says nothing, so there is nothing to verify.
    sha256, length = headers.get("brh_sha256"), headers.get("brh_content_length")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        return _refuse(RejectionCode.DIGEST_MISMATCH, "brh_sha256", sha256, "64 hex digits")
    if length is not None and (type(length) is not int or length != size):
        return _refuse(RejectionCode.LENGTH_MISMATCH, "brh_content_length", length, f"the body's {size} as an integer")
    digest = sha256.lower() if isinstance(sha256, str) else None
    return PayloadMessage(transaction, series, ordinal, total_count, size, digest, trace_of(headers))


def check_header(properties: Properties, size: int) -> Rejected | None:
    """What is wrong with a header message whose body of `size` bytes has not come yet; None: nothing so far."""
    if properties.type != HEADER_TYPE:
        return _refuse(RejectionCode.BAD_TYPE, "type", properties.type, HEADER_TYPE)
    if not is_transaction_id(properties.correlation_id):
        return _refuse(RejectionCode.BAD_TRANSACTION_ID, "correlation_id", properties.correlation_id, _ID_RULE)
    if size > HEADER_MAX_BYTES:
        return _refuse(RejectionCode.HEADER_TOO_LARGE, "the body's size", size, f"at most {HEADER_MAX_BYTES} bytes")
    # Parameters say nothing: RFC 8259 defines none, and the body must be UTF-8 whatever a charset claims.
    media_type = properties.content_type
    if not isinstance(media_type, str) or media_type.partition(";")[0].strip(" \t").lower() != "application/json":
        return _refuse(RejectionCode.BAD_HEADER_BODY, "content_type", media_type, "application/json")
    encoding = properties.content_encoding
    if encoding is not None and not (isinstance(encoding, str) and encoding.lower() in _PLAIN_ENCODINGS):
        return _refuse(RejectionCode.BAD_HEADER_BODY, "content_encoding", encoding, "none")
    if properties.reply_to is not None and not _is_short_string(properties.reply_to):
        # Refused rather than dropped: a producer that names a queue waits there.
        rule = f"a queue name of at most {REPLY_TO_MAX_BYTES} bytes"
        return _refuse(RejectionCode.BAD_HEADER_BODY, "reply_to", properties.reply_to, rule)
    return None


def parse_header(properties: Properties, body: bytes) -> HeaderMessage | Rejected:
    """The header message; `check_header` is repeated, so that no caller can forget it."""
    refused = check_header(properties, len(body))
    if refused is not None:
        return refused
    read = parse_body(body)
    if isinstance(read, Rejected):
        return read
    header, digest = read
    transaction = cast(str, properties.correlation_id)  # as check_header found
    return HeaderMessage(transaction, header, digest, properties.reply_to or None, trace_of(properties.headers))


def _refuse(code: RejectionCode, name: str, found: object, expected: str) -> Rejected:
    return Rejected(code, f"{name} is {'missing' if found is None else quoted(found)}, expected {expected}")


def _is_short_string(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value.encode()) <= REPLY_TO_MAX_BYTES
    except UnicodeEncodeError:
        return False


def trace_of(headers: Mapping[str, object]) -> Trace:
    """The W3C trace context; what is malformed is dropped, because a broken tracer must not cost a result."""
    if "traceparent" not in headers:
        return _NO_TRACE
    parent = _ascii(headers["traceparent"])
    if parent is None or not _TRACEPARENT.fullmatch(parent):
        return _NO_TRACE  # its state means nothing without it
    state = _ascii(headers.get("tracestate"))
    return Trace(parent, state if state is not None and _TRACESTATE.fullmatch(state) else None)


def _ascii(value: object) -> str | None:
    """The text of an AMQP string, that some clients send as bytes."""
    if isinstance(value, bytes | bytearray):
        return value.decode("ascii", "replace")
    return value if isinstance(value, str) else None
