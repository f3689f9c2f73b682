"""The inbound contract, one row a rule: what is accepted, what is refused, and with which code."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from bridge.contract.inbound import (
    HEADER_MAX_BYTES,
    PAYLOAD_MAX_BYTES,
    Header,
    HeaderMessage,
    PayloadMessage,
    Rejected,
    RejectionCode,
    SeriesSpec,
    Timeouts,
    Trace,
)
from bridge.envelope import Properties, check_header, parse_header, parse_payload

SHA256 = "0123456789abcdef" * 4
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SERIES = [{"type": "cashflows"}]


def payload(size: int = 10, *, limit: int = PAYLOAD_MAX_BYTES, **changes: Any) -> PayloadMessage | Rejected:
    """Parse a good payload message with some properties or (names from `brh_`, `trace`) headers changed."""
    headers: dict[str, Any] = {"brh_series_type": "cashflows", "brh_ordinal": 2, "brh_total_count": 3}
    properties: dict[str, Any] = {"type": "brh.payload.v1", "correlation_id": "T1"}
    for name, value in changes.items():
        (headers if name.startswith(("brh_", "trace")) else properties)[name] = value
    return parse_payload(Properties(**properties, headers=headers), size, payload_max_bytes=limit)


def header_properties(**changes: Any) -> Properties:
    """Properties of a good header message, some changed."""
    good = {"type": "brh.header.v1", "correlation_id": "T1", "content_type": "application/json"}
    return Properties(**{**good, **changes})


def header(body: bytes | str | None = None, **changes: Any) -> HeaderMessage | Rejected:
    """Parse a good header message with some properties changed."""
    raw = body if isinstance(body, bytes) else (body or json.dumps({"series": SERIES})).encode()
    return parse_header(header_properties(**changes), raw)


def with_members(**members: Any) -> str:
    """A good body with members added or replaced."""
    return json.dumps({"series": SERIES, **members})


def one_series(**members: Any) -> str:
    """A body whose only series has these members besides its type."""
    return json.dumps({"series": [{"type": "cashflows", **members}]})


def sized(size: int) -> bytes:
    """A good header's body of exactly so many bytes."""
    return json.dumps({"series": SERIES}).encode().ljust(size)


def nested(levels: int) -> str:
    """A good body whose deepest array is on that level; the body itself is the first."""
    return '{"series": [{"type": "a"}], "x": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


# ---------------------------------------------------------------------------------------------------------------------
# What a payload may be; a row is what is special about it, what is changed, its code

REFUSED_PAYLOADS: list[tuple[str, dict[str, Any], RejectionCode]] = [
    ("no type", {"type": None}, RejectionCode.BAD_TYPE),
    ("empty type", {"type": ""}, RejectionCode.BAD_TYPE),
    ("header on a payload queue", {"type": "brh.header.v1"}, RejectionCode.BAD_TYPE),
    ("later version", {"type": "brh.payload.v2"}, RejectionCode.BAD_TYPE),
    ("type in capitals", {"type": "BRH.PAYLOAD.V1"}, RejectionCode.BAD_TYPE),
    ("type as bytes", {"type": b"brh.payload.v1"}, RejectionCode.BAD_TYPE),
    ("no id", {"correlation_id": None}, RejectionCode.BAD_TRANSACTION_ID),
    ("empty id", {"correlation_id": ""}, RejectionCode.BAD_TRANSACTION_ID),
    ("id of 129", {"correlation_id": "x" * 129}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with ..", {"correlation_id": "a..b"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with slash", {"correlation_id": "a/b"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with backslash", {"correlation_id": "a\\b"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with %2e", {"correlation_id": "a%2eb"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id ends with a line end", {"correlation_id": "T1\n"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id starts with a dot", {"correlation_id": ".T1"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id starts with _", {"correlation_id": "_header.json"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id ends with a dot", {"correlation_id": "T1."}, RejectionCode.BAD_TRANSACTION_ID),
    ("id ends with -", {"correlation_id": "T1-"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with Arabic digits", {"correlation_id": "T\u0661"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with a look-alike", {"correlation_id": "\u0410BC"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with a lone surrogate", {"correlation_id": "T\ud800"}, RejectionCode.BAD_TRANSACTION_ID),
    ("id as bytes", {"correlation_id": b"T1"}, RejectionCode.BAD_TRANSACTION_ID),
    ("no series type", {"brh_series_type": None}, RejectionCode.BAD_SERIES_TYPE),
    ("series type as bytes", {"brh_series_type": b"cash"}, RejectionCode.BAD_SERIES_TYPE),
    ("series type not UTF-8", {"brh_series_type": b"\xff"}, RejectionCode.BAD_SERIES_TYPE),
    ("series type a number", {"brh_series_type": 7}, RejectionCode.BAD_SERIES_TYPE),
    ("series type a table", {"brh_series_type": {"a": 1}}, RejectionCode.BAD_SERIES_TYPE),
    ("series type of 64", {"brh_series_type": "x" * 64}, RejectionCode.BAD_SERIES_TYPE),
    ("series type with ..", {"brh_series_type": "a..b"}, RejectionCode.BAD_SERIES_TYPE),
    ("series type is ..", {"brh_series_type": ".."}, RejectionCode.BAD_SERIES_TYPE),
    ("series type starts with _", {"brh_series_type": "_outcome.json"}, RejectionCode.BAD_SERIES_TYPE),
    ("series type with slash", {"brh_series_type": "a/b"}, RejectionCode.BAD_SERIES_TYPE),
    ("series type ends with a line end", {"brh_series_type": "cashflows\n"}, RejectionCode.BAD_SERIES_TYPE),
    ("no ordinal", {"brh_ordinal": None}, RejectionCode.BAD_ORDINAL),
    ("ordinal 0", {"brh_ordinal": 0}, RejectionCode.BAD_ORDINAL),
    ("ordinal -1", {"brh_ordinal": -1}, RejectionCode.BAD_ORDINAL),
    ("ordinal above the total count", {"brh_ordinal": 4}, RejectionCode.BAD_ORDINAL),
    ("ordinal beyond all", {"brh_ordinal": 1_000_001, "brh_total_count": 1_000_000}, RejectionCode.BAD_ORDINAL),
    ("ordinal a huge integer", {"brh_ordinal": 2**63}, RejectionCode.BAD_ORDINAL),
    ("ordinal beyond printing", {"brh_ordinal": 10**5_000}, RejectionCode.BAD_ORDINAL),
    ("ordinal true", {"brh_ordinal": True}, RejectionCode.BAD_ORDINAL),
    ("ordinal a float", {"brh_ordinal": 2.0}, RejectionCode.BAD_ORDINAL),
    ("ordinal a string", {"brh_ordinal": "2"}, RejectionCode.BAD_ORDINAL),
    ("ordinal Arabic digits", {"brh_ordinal": "\u0662"}, RejectionCode.BAD_ORDINAL),
    ("ordinal 1e3", {"brh_ordinal": "1e3"}, RejectionCode.BAD_ORDINAL),
    ("ordinal a decimal", {"brh_ordinal": Decimal(2)}, RejectionCode.BAD_ORDINAL),
    ("ordinal bytes", {"brh_ordinal": b"2"}, RejectionCode.BAD_ORDINAL),
    ("ordinal a timestamp", {"brh_ordinal": datetime(2026, 1, 1, tzinfo=UTC)}, RejectionCode.BAD_ORDINAL),
    ("ordinal bad, total count too", {"brh_ordinal": 0, "brh_total_count": 0}, RejectionCode.BAD_ORDINAL),
    ("no total count", {"brh_total_count": None}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count 0", {"brh_total_count": 0}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count -1", {"brh_total_count": -1}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count 1,000,001", {"brh_total_count": 1_000_001}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count 2**63", {"brh_total_count": 2**63}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count true", {"brh_ordinal": 1, "brh_total_count": True}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count a float", {"brh_total_count": 3.0}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count a string", {"brh_total_count": "3"}, RejectionCode.BAD_TOTAL_COUNT),
    ("total count a decimal", {"brh_total_count": Decimal(3)}, RejectionCode.BAD_TOTAL_COUNT),
    ("ordinal above a bad total count", {"brh_ordinal": 5, "brh_total_count": 0}, RejectionCode.BAD_TOTAL_COUNT),
    ("one byte too many", {"size": PAYLOAD_MAX_BYTES + 1}, RejectionCode.PAYLOAD_TOO_LARGE),
    ("above a lowered limit", {"size": 101, "limit": 100}, RejectionCode.PAYLOAD_TOO_LARGE),
    ("sha256 of 63", {"brh_sha256": SHA256[:-1]}, RejectionCode.DIGEST_MISMATCH),
    ("sha256 of 65", {"brh_sha256": SHA256 + "0"}, RejectionCode.DIGEST_MISMATCH),
    ("sha256 with a line end", {"brh_sha256": SHA256 + "\n"}, RejectionCode.DIGEST_MISMATCH),
    ("sha256 not hex", {"brh_sha256": "g" * 64}, RejectionCode.DIGEST_MISMATCH),
    ("sha256 empty", {"brh_sha256": ""}, RejectionCode.DIGEST_MISMATCH),
    ("sha256 as bytes", {"brh_sha256": SHA256.encode()}, RejectionCode.DIGEST_MISMATCH),
    ("sha256 a number", {"brh_sha256": 0}, RejectionCode.DIGEST_MISMATCH),
    ("length too short", {"brh_content_length": 9}, RejectionCode.LENGTH_MISMATCH),
    ("length too long", {"brh_content_length": 11}, RejectionCode.LENGTH_MISMATCH),
    ("length 0 of something", {"brh_content_length": 0}, RejectionCode.LENGTH_MISMATCH),
    ("length negative", {"brh_content_length": -10}, RejectionCode.LENGTH_MISMATCH),
    ("length a string", {"brh_content_length": "10"}, RejectionCode.LENGTH_MISMATCH),
    ("length a float", {"brh_content_length": 10.0}, RejectionCode.LENGTH_MISMATCH),
    ("length a boolean", {"size": 1, "brh_content_length": True}, RejectionCode.LENGTH_MISMATCH),
]

ACCEPTED_PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    ("plain", {}),
    ("id of 1", {"correlation_id": "x"}),
    ("id of 128", {"correlation_id": "x" * 128}),
    ("id with all marks", {"correlation_id": "a._-._-Z9"}),
    ("id a UUID", {"correlation_id": "0190b6c2-7a3f-7c1e-8d51-1f2e3d4c5b6a"}),
    ("series type of 1", {"brh_series_type": "x"}),
    ("series type of 63", {"brh_series_type": "x" * 63}),
    ("series type with dots", {"brh_series_type": "a.b.c"}),
    ("first ordinal", {"brh_ordinal": 1}),
    ("last ordinal", {"brh_ordinal": 3}),
    ("only ordinal", {"brh_ordinal": 1, "brh_total_count": 1}),
    ("largest total count", {"brh_ordinal": 1_000_000, "brh_total_count": 1_000_000}),
    ("empty body", {"size": 0, "brh_content_length": 0}),
    ("largest body", {"size": PAYLOAD_MAX_BYTES, "brh_content_length": PAYLOAD_MAX_BYTES}),
    ("body at a lowered limit", {"size": 100, "limit": 100}),
    ("optional headers void", {"brh_sha256": None, "brh_content_length": None, "traceparent": None}),
    ("content type is not looked at", {"content_type": "application/x-\n", "content_encoding": "gzip"}),
    ("reply_to is not looked at", {"reply_to": "x" * 300}),
    ("unknown headers", {"brh_future": {"a": [1]}}),
]


@pytest.mark.parametrize(("changes", "code"), [pytest.param(c, r, id=i) for i, c, r in REFUSED_PAYLOADS])
def test_a_payload_that_breaks_a_rule_is_refused_with_its_code(changes: dict[str, Any], code: RejectionCode) -> None:
    assert_refused(payload(**changes), code)


@pytest.mark.parametrize("changes", [pytest.param(c, id=i) for i, c in ACCEPTED_PAYLOADS])
def test_a_payload_at_the_edge_of_the_rules_is_accepted(changes: dict[str, Any]) -> None:
    found = payload(**changes)
    assert isinstance(found, PayloadMessage), found
    assert found.transaction == changes.get("correlation_id", "T1")
    assert found.series == changes.get("brh_series_type", "cashflows")
    assert (found.ordinal, found.total_count) == (changes.get("brh_ordinal", 2), changes.get("brh_total_count", 3))
    assert found.size == changes.get("size", 10)
    assert (found.sha256, found.trace) == (None, Trace())


def test_a_digest_is_compared_in_lower_case() -> None:
    found = payload(brh_sha256=SHA256.upper())
    assert isinstance(found, PayloadMessage)
    assert found.sha256 == SHA256


# ---------------------------------------------------------------------------------------------------------------------
# What a header's properties may be

JSON_BODY = json.dumps({"series": SERIES})
REFUSED_HEADERS: list[tuple[str, dict[str, Any], RejectionCode]] = [
    ("no type", {"type": None}, RejectionCode.BAD_TYPE),
    ("payload on the header queue", {"type": "brh.payload.v1"}, RejectionCode.BAD_TYPE),
    ("no id", {"correlation_id": None}, RejectionCode.BAD_TRANSACTION_ID),
    ("id with ..", {"correlation_id": "a..b"}, RejectionCode.BAD_TRANSACTION_ID),
    ("one byte too many", {"body": sized(HEADER_MAX_BYTES + 1)}, RejectionCode.HEADER_TOO_LARGE),
    ("no content type", {"content_type": None}, RejectionCode.BAD_HEADER_BODY),
    ("empty content type", {"content_type": ""}, RejectionCode.BAD_HEADER_BODY),
    ("content type text", {"content_type": "text/plain"}, RejectionCode.BAD_HEADER_BODY),
    ("content type like JSON", {"content_type": "application/json5"}, RejectionCode.BAD_HEADER_BODY),
    ("content type +json", {"content_type": "application/x+json"}, RejectionCode.BAD_HEADER_BODY),
    ("content type later", {"content_type": "text/plain;application/json"}, RejectionCode.BAD_HEADER_BODY),
    ("content type as bytes", {"content_type": b"application/json"}, RejectionCode.BAD_HEADER_BODY),
    ("gzip", {"content_encoding": "gzip"}, RejectionCode.BAD_HEADER_BODY),
    ("another character set", {"content_encoding": "utf-16"}, RejectionCode.BAD_HEADER_BODY),
    ("encoding as bytes", {"content_encoding": b"\xff"}, RejectionCode.BAD_HEADER_BODY),
    ("reply_to of 256 bytes", {"reply_to": "\u00e9" * 128}, RejectionCode.BAD_HEADER_BODY),
    ("reply_to no text", {"reply_to": "q\ud800"}, RejectionCode.BAD_HEADER_BODY),
    ("reply_to as bytes", {"reply_to": b"q"}, RejectionCode.BAD_HEADER_BODY),
]

ACCEPTED_HEADERS: list[tuple[str, dict[str, Any]]] = [
    ("plain", {}),
    ("largest body", {"body": sized(HEADER_MAX_BYTES)}),
    ("charset", {"content_type": "application/json; charset=utf-8"}),
    ("parameters and case", {"content_type": "Application/JSON ;charset=UTF-8; v=1"}),
    ("empty encoding", {"content_encoding": ""}),
    ("identity", {"content_encoding": "identity"}),
    ("the encoding that Spring AMQP sends", {"content_encoding": "UTF-8"}),
    ("the encoding that kombu sends", {"content_encoding": "utf-8"}),
    ("no reply_to", {"reply_to": ""}),
]


@pytest.mark.parametrize(("changes", "code"), [pytest.param(c, r, id=i) for i, c, r in REFUSED_HEADERS])
def test_a_header_whose_properties_break_a_rule_is_refused_ahead_of_its_body(
    changes: dict[str, Any], code: RejectionCode
) -> None:
    found = header(**changes)
    assert_refused(found, code)
    properties = {name: value for name, value in changes.items() if name != "body"}
    size = len(changes.get("body", JSON_BODY))
    assert check_header(header_properties(**properties), size) == found


@pytest.mark.parametrize("changes", [pytest.param(c, id=i) for i, c in ACCEPTED_HEADERS])
def test_a_header_at_the_edge_of_the_rules_is_accepted(changes: dict[str, Any]) -> None:
    found = header(**changes)
    assert isinstance(found, HeaderMessage), found
    assert found.transaction == "T1"
    assert found.header == Header(series=(SeriesSpec(type="cashflows"),))
    assert found.reply_to is None
    properties = {name: value for name, value in changes.items() if name != "body"}
    assert check_header(header_properties(**properties), len(changes.get("body", JSON_BODY))) is None


def test_the_longest_reply_to_is_kept() -> None:
    found = header(reply_to="\u00e9" * 127 + "q")
    assert isinstance(found, HeaderMessage)
    assert found.reply_to == "\u00e9" * 127 + "q"


# ---------------------------------------------------------------------------------------------------------------------
# What a header's body may be

BAD = RejectionCode.BAD_HEADER_BODY
REFUSED_BODIES: list[tuple[str, str | bytes, RejectionCode]] = [
    ("empty", b"", BAD),
    ("not UTF-8", b'{"series": [{"type": "a"}], "x": "\xff"}', BAD),
    ("UTF-16", JSON_BODY.encode("utf-16"), BAD),
    ("byte order mark", b"\xef\xbb\xbf" + JSON_BODY.encode(), BAD),
    ("not JSON", "series: []", BAD),
    ("cut off", JSON_BODY[:-1], BAD),
    ("something behind", JSON_BODY + "{}", BAD),
    ("comma behind the last", '{"series": [{"type": "a"},]}', BAD),
    ("raw control character", '{"series": [{"type": "a"}], "x": "\n"}', BAD),
    ("no object", "[]", BAD),
    ("null", "null", BAD),
    ("a number", "1.5", BAD),
    ("NaN", '{"series": [{"type": "a"}], "x": NaN}', BAD),
    ("Infinity", '{"series": [{"type": "a"}], "x": Infinity}', BAD),
    ("-Infinity", '{"series": [{"type": "a"}], "x": [-Infinity]}', BAD),
    ("member twice", '{"series": [{"type": "a"}], "series": [{"type": "a"}]}', BAD),
    ("member twice in a series", '{"series": [{"type": "a", "type": "b"}]}', BAD),
    ("member twice, once escaped", '{"series": [{"type": "a"}], "\\u0073eries": []}', BAD),
    ("member twice deep in the unknown", '{"series": [{"type": "a"}], "x": [[{"y": {"z": 1, "z": 1}}]]}', BAD),
    ("half a surrogate pair", '{"series": [{"type": "a"}], "labels": {"a": "\\ud800"}}', BAD),
    ("half a surrogate pair as a name", '{"series": [{"type": "a"}], "x": {"\\udfff": 1}}', BAD),
    ("surrogates the wrong way round", '{"series": [{"type": "a"}], "x": "\\udc00\\ud800"}', BAD),
    ("nested one too deep", nested(65), BAD),
    ("arrays without end", "[" * 100_000, BAD),
    ("objects without end", '{"x":' * 100_000, BAD),
    ("integer beyond Python's limit", one_series(totalCount=1).replace("1}", "1" * 5_000 + "}"), BAD),
    ("unknown integer beyond Python's limit", '{"series": [{"type": "a"}], "x": ' + "1" * 5_000 + "}", BAD),
    ("number of 513 characters", '{"series": [{"type": "a"}], "x": ' + "1" * 513 + "}", BAD),
    ("exponent beyond Python's limit", '{"series": [{"type": "a"}], "x": 1e' + "1" * 5_000 + "}", BAD),
    ("no series", "{}", BAD),
    ("zero series", '{"series": []}', BAD),
    ("series null", '{"series": null}', BAD),
    ("series an object", '{"series": {"type": "a"}}', BAD),
    ("series names", '{"series": ["a"]}', BAD),
    ("series a number", '{"series": 1.5}', BAD),
    ("series without type", '{"series": [{"totalCount": 1}]}', BAD),
    ("series type a number", '{"series": [{"type": 1}]}', BAD),
    ("series type empty", '{"series": [{"type": ""}]}', BAD),
    ("series type with ..", '{"series": [{"type": "a..b"}]}', BAD),
    ("series type of 64", json.dumps({"series": [{"type": "x" * 64}]}), BAD),
    ("series type a path", '{"series": [{"type": "../b"}]}', BAD),
    ("series type twice", '{"series": [{"type": "a"}, {"type": "b"}, {"type": "a", "totalCount": 1}]}', BAD),
    ("total count -1", one_series(totalCount=-1), BAD),
    ("total count 1,000,001", one_series(totalCount=1_000_001), BAD),
    ("total count 2**64", one_series(totalCount=2**64), BAD),
    ("total count true", one_series(totalCount=True), BAD),
    ("total count a string", one_series(totalCount="1"), BAD),
    ("total count null", one_series(totalCount=None), BAD),
    ("total count 1.0", one_series(totalCount=1.0), BAD),
    ("total count 1e2", '{"series": [{"type": "a", "totalCount": 1e2}]}', BAD),
    ("total count 1.5", one_series(totalCount=1.5), BAD),
    ("content type a number", one_series(contentType=1), BAD),
    ("content type null", one_series(contentType=None), BAD),
    ("content type empty", one_series(contentType=""), BAD),
    ("content type of 256", one_series(contentType="x" * 256), BAD),
    ("content type with a line end", one_series(contentType="text/csv\r\nx: y"), BAD),
    ("content type ends with a line end", one_series(contentType="text/csv\n"), BAD),
    ("content type not ASCII", one_series(contentType="text/\u00e9"), BAD),
    ("content type with a space around", one_series(contentType=" text/csv"), BAD),
    ("transaction type empty", with_members(transactionType=""), BAD),
    ("transaction type with a dot", with_members(transactionType="a.b"), BAD),
    ("transaction type of 64", with_members(transactionType="x" * 64), BAD),
    ("transaction type starts with -", with_members(transactionType="-a"), BAD),
    ("transaction type ends with a line end", with_members(transactionType="a\n"), BAD),
    ("transaction type a wildcard", with_members(transactionType="#"), BAD),
    ("transaction type null", with_members(transactionType=None), BAD),
    ("timeouts a string", with_members(timeouts="PT1M"), BAD),
    ("timeouts null", with_members(timeouts=None), BAD),
    ("timeout null", with_members(timeouts={"idle": None}), BAD),
    ("timeout a number", with_members(timeouts={"idle": 60}), BAD),
    ("timeout a clock", with_members(timeouts={"idle": "00:10:00"}), BAD),
    ("timeout P", with_members(timeouts={"idle": "P"}), BAD),
    ("timeout PT", with_members(timeouts={"idle": "PT"}), BAD),
    ("timeout P1DT", with_members(timeouts={"idle": "P1DT"}), BAD),
    ("timeout in months", with_members(timeouts={"awaiting": "P1M"}), BAD),
    ("timeout in years", with_members(timeouts={"awaiting": "P0Y1D"}), BAD),
    ("timeout out of order", with_members(timeouts={"awaiting": "PT1S1M"}), BAD),
    ("timeout negative", with_members(timeouts={"awaiting": "-PT1M"}), BAD),
    ("timeout in small letters", with_members(timeouts={"awaiting": "pt1m"}), BAD),
    ("timeout of half hours", with_members(timeouts={"awaiting": "PT0.5H"}), BAD),
    ("timeout with a line end", with_members(timeouts={"awaiting": "PT1M\n"}), BAD),
    ("timeout in Arabic digits", with_members(timeouts={"awaiting": "PT\u0661M"}), BAD),
    ("timeout 0", with_members(timeouts={"idle": "PT0S"}), BAD),
    ("timeout below 1 s", with_members(timeouts={"idle": "PT0.999S"}), BAD),
    ("timeout above 6 days", with_members(timeouts={"awaiting": "P6DT0.001S"}), BAD),
    ("timeout above 6 days in hours", with_members(timeouts={"awaiting": "PT145H"}), BAD),
    ("timeout of many digits", with_members(timeouts={"awaiting": "PT" + "0" * 5_000 + "1S"}), BAD),
    ("onTimeout unknown", with_members(onTimeout="keep"), BAD),
    ("onTimeout in capitals", with_members(onTimeout="Partial"), BAD),
    ("onTimeout null", with_members(onTimeout=None), BAD),
    ("onConflict unknown", with_members(onConflict="keep-last"), BAD),
    ("onConflict a boolean", with_members(onConflict=False), BAD),
    ("labels a list", with_members(labels=["a"]), BAD),
    ("labels null", with_members(labels=None), BAD),
    ("label a number", with_members(labels={"a": 1}), BAD),
    ("label null", with_members(labels={"a": None}), BAD),
    ("65 labels", with_members(labels={str(n): "" for n in range(65)}), BAD),
    ("label key of 129", with_members(labels={"k" * 129: ""}), BAD),
    ("label of 1025", with_members(labels={"k": "v" * 1_025}), BAD),
    (
        "1001 series",
        json.dumps({"series": [{"type": f"s{n}"} for n in range(1_001)]}),
        RejectionCode.TOO_MANY_SERIES,
    ),
    ("1001 series and all else wrong", json.dumps({"series": [0] * 1_001, "x": 0}), RejectionCode.TOO_MANY_SERIES),
]


def expected(*, series: SeriesSpec | None = None, **fields: Any) -> Header:
    return Header(series=(series or SeriesSpec(type="cashflows"),), **fields)


ACCEPTED_BODIES: list[tuple[str, str, Header]] = [
    ("empty series", one_series(totalCount=0), expected(series=SeriesSpec("cashflows", 0))),
    ("total count -0", '{"series": [{"type": "a", "totalCount": -0}]}', expected(series=SeriesSpec("a", 0))),
    ("largest total count", one_series(totalCount=1_000_000), expected(series=SeriesSpec("cashflows", 1_000_000))),
    (
        "longest content type",
        one_series(contentType="x" * 255),
        expected(series=SeriesSpec("cashflows", None, "x" * 255)),
    ),
    (
        "content type with parameters",
        one_series(contentType='text/csv; header="present"'),
        expected(series=SeriesSpec("cashflows", None, 'text/csv; header="present"')),
    ),
    ("longest series type", '{"series": [{"type": "%s"}]}' % ("x" * 63), expected(series=SeriesSpec("x" * 63))),
    ("longest transaction type", with_members(transactionType="x" * 63), expected(transaction_type="x" * 63)),
    ("shortest transaction type", with_members(transactionType="0"), expected(transaction_type="0")),
    ("no timeouts", with_members(timeouts={}), expected()),
    ("shortest timeout", with_members(timeouts={"idle": "PT1S"}), expected(timeouts=Timeouts(1.0))),
    ("longest timeout", with_members(timeouts={"awaiting": "P6D"}), expected(timeouts=Timeouts(None, 518_400.0))),
    ("6 days in hours", with_members(timeouts={"awaiting": "PT144H"}), expected(timeouts=Timeouts(None, 518_400.0))),
    (
        "all units",
        with_members(timeouts={"idle": "P1DT2H3M4.5S", "awaiting": "PT1M1,25S"}),
        expected(timeouts=Timeouts(93_784.5, 61.25)),
    ),
    ("rounded once", with_members(timeouts={"idle": "PT1M16.016S"}), expected(timeouts=Timeouts(76.016))),
    ("onTimeout abandon", with_members(onTimeout="abandon"), expected(on_timeout="abandon")),
    ("onTimeout partial", with_members(onTimeout="partial"), expected(on_timeout="partial")),
    ("onConflict fail", with_members(onConflict="fail"), expected(on_conflict="fail")),
    ("onConflict keep-first", with_members(onConflict="keep-first"), expected(on_conflict="keep-first")),
    ("no labels", with_members(labels={}), expected()),
    (
        "64 labels",
        with_members(labels={str(n): "" for n in range(64)}),
        expected(labels={str(n): "" for n in range(64)}),
    ),
    (
        "longest label",
        with_members(labels={"\u20ac" * 128: "\U0001f600" * 1_024}),
        expected(labels={"\u20ac" * 128: "\U0001f600" * 1_024}),
    ),
    ("unknown members", with_members(x=1.5, y=None, timeout={"idle": 1}), expected()),
    ("unknown members inside", one_series(total_count=-1, TotalCount="x"), expected()),
    ("nested as deep as allowed", nested(64), expected(series=SeriesSpec("a"))),
    ("number of 512 characters", with_members(x=10**511), expected()),
    ("number beyond a double", '{"series": [{"type": "cashflows"}], "x": -1e-999999999999999999999}', expected()),
    ("white space", " \r\n\t" + JSON_BODY + "\n", expected()),
]


@pytest.mark.parametrize(("body", "code"), [pytest.param(b, r, id=i) for i, b, r in REFUSED_BODIES])
def test_a_body_that_breaks_a_rule_is_refused_with_its_code(body: str | bytes, code: RejectionCode) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    assert check_header(header_properties(), len(raw)) is None
    assert_refused(parse_header(header_properties(), raw), code)


@pytest.mark.parametrize(("body", "said"), [pytest.param(b, h, id=i) for i, b, h in ACCEPTED_BODIES])
def test_a_body_at_the_edge_of_the_rules_says_what_it_says(body: str, said: Header) -> None:
    found = header(body)
    assert isinstance(found, HeaderMessage), found
    assert found.header == said


def test_a_thousand_series_are_kept_in_their_order() -> None:
    names = [f"s{n}" for n in range(1_000, 0, -1)]
    found = header(json.dumps({"series": [{"type": name} for name in names]}))
    assert isinstance(found, HeaderMessage), found
    assert [series.type for series in found.header.series] == names


def test_the_digest_of_a_header_stays_the_same_over_releases() -> None:
    # It is stored: another one for the same body would turn a header that is sent again into a conflict.
    found = header(
        '{"series": [{"type": "a", "totalCount": 1}], "labels": {"k": "\u20ac"}, "x": [1.50, -2e9, null, true]}'
    )
    assert isinstance(found, HeaderMessage)
    canonical = '{"labels":{"k":"\u20ac"},"series":[{"totalCount":1,"type":"a"}],"x":[15e-1,-2000000000,null,true]}'
    assert found.digest == hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
    assert found.digest == "009202fb7674c258b77df21c0a76dd3b"


# ---------------------------------------------------------------------------------------------------------------------
# The order of the checks

PAYLOAD_RULES: list[tuple[dict[str, Any], RejectionCode]] = [
    ({"type": None}, RejectionCode.BAD_TYPE),
    ({"correlation_id": "a/b"}, RejectionCode.BAD_TRANSACTION_ID),
    ({"brh_series_type": 1}, RejectionCode.BAD_SERIES_TYPE),
    ({"brh_ordinal": "1"}, RejectionCode.BAD_ORDINAL),
    ({"brh_total_count": 1_000_001}, RejectionCode.BAD_TOTAL_COUNT),
    ({"size": PAYLOAD_MAX_BYTES + 1}, RejectionCode.PAYLOAD_TOO_LARGE),
    ({"brh_sha256": "x"}, RejectionCode.DIGEST_MISMATCH),
    ({"brh_content_length": -1}, RejectionCode.LENGTH_MISMATCH),
]
HEADER_RULES: list[tuple[dict[str, Any], RejectionCode]] = [
    ({"type": None}, RejectionCode.BAD_TYPE),
    ({"correlation_id": "a/b"}, RejectionCode.BAD_TRANSACTION_ID),
    ({"body": b"x" * (HEADER_MAX_BYTES + 1)}, RejectionCode.HEADER_TOO_LARGE),
    ({"content_type": "text/plain"}, RejectionCode.BAD_HEADER_BODY),
]


@pytest.mark.parametrize(("first", "second"), list(combinations(PAYLOAD_RULES, 2)), ids=lambda rule: rule[1].value)
def test_the_first_broken_rule_of_a_payload_is_its_code(first: Any, second: Any) -> None:
    assert_refused(payload(**(second[0] | first[0])), first[1])


@pytest.mark.parametrize(("first", "second"), list(combinations(HEADER_RULES, 2)), ids=lambda rule: rule[1].value)
def test_the_first_broken_rule_of_a_header_is_its_code(first: Any, second: Any) -> None:
    assert_refused(header(**(second[0] | first[0])), first[1])


def test_a_message_with_everything_broken_is_of_bad_type() -> None:
    everything: dict[str, Any] = {}
    for changes, _ in PAYLOAD_RULES:
        everything |= changes
    assert_refused(payload(**everything), RejectionCode.BAD_TYPE)


def test_an_ordinal_above_its_total_count_is_told_ahead_of_the_size() -> None:
    assert_refused(payload(brh_ordinal=4, size=PAYLOAD_MAX_BYTES + 1), RejectionCode.BAD_ORDINAL)


def test_every_rejection_code_has_a_row() -> None:
    rows = [code for _, _, code in REFUSED_PAYLOADS + REFUSED_HEADERS] + [code for _, _, code in REFUSED_BODIES]
    assert {*rows, RejectionCode.RECORD_UNREADABLE} == set(RejectionCode), "that one is no rule about messages"


# ---------------------------------------------------------------------------------------------------------------------
# Reasons and trace context


def assert_refused(found: object, code: RejectionCode) -> None:
    assert isinstance(found, Rejected), found
    assert found.code is code, found
    assert found.reason.isascii(), found
    assert found.reason.isprintable(), found
    assert "expected" in found.reason.lower() or "required" in found.reason, found
    assert len(found.reason) <= 300, found


def test_a_reason_says_what_was_found_and_what_is_expected() -> None:
    assert payload(brh_ordinal="7") == Rejected(
        RejectionCode.BAD_ORDINAL, "brh_ordinal is '7', expected an AMQP integer from 1 to the total count"
    )
    assert payload(brh_ordinal=None) == Rejected(
        RejectionCode.BAD_ORDINAL, "brh_ordinal is missing, expected an AMQP integer from 1 to the total count"
    )
    assert header(one_series(totalCount=-1)) == Rejected(
        RejectionCode.BAD_HEADER_BODY, "the header does not fit: Expected `int` >= 0 - at `$.series[0].totalCount`"
    )


@pytest.mark.parametrize("hostile", ["T1\r\nERROR all is lost", "\x1b[2J", "\u202egnp.exe", "\ud800", "\u2028x"])
def test_hostile_text_is_escaped_in_a_reason(hostile: str) -> None:
    found = payload(correlation_id=hostile)
    assert_refused(found, RejectionCode.BAD_TRANSACTION_ID)
    assert isinstance(found, Rejected)
    assert ascii(hostile) in found.reason


@pytest.mark.parametrize("long", ["\U0001f600" * 100_000, b"\xff" * 100_000, bytearray(100_000)])
def test_long_text_is_cut_in_a_reason(long: object) -> None:
    found = payload(brh_series_type=long)
    assert_refused(found, RejectionCode.BAD_SERIES_TYPE)
    assert isinstance(found, Rejected)
    assert "..., expected" in found.reason


def test_a_nested_value_is_named_in_a_reason_and_not_printed() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    found = payload(brh_ordinal=deep)
    assert_refused(found, RejectionCode.BAD_ORDINAL)
    assert isinstance(found, Rejected)
    assert "a value of type list" in found.reason


TRACES: list[tuple[str, dict[str, Any], Trace]] = [
    ("none", {}, Trace()),
    ("parent", {"traceparent": TRACEPARENT}, Trace(TRACEPARENT)),
    ("parent and state", {"traceparent": TRACEPARENT, "tracestate": "a=1,b=2"}, Trace(TRACEPARENT, "a=1,b=2")),
    (
        "as bytes",
        {"traceparent": TRACEPARENT.encode(), "tracestate": bytearray(b"a=1")},
        Trace(TRACEPARENT, "a=1"),
    ),
    ("later version", {"traceparent": "cc" + TRACEPARENT[2:]}, Trace("cc" + TRACEPARENT[2:])),
    (
        "later version with more",
        {"traceparent": "cc" + TRACEPARENT[2:] + "-what"},
        Trace("cc" + TRACEPARENT[2:] + "-what"),
    ),
    ("later version with other more", {"traceparent": "cc" + TRACEPARENT[2:] + "x"}, Trace()),
    ("later version with much more", {"traceparent": "cc" + TRACEPARENT[2:] + "-" + "x" * 201}, Trace()),
    ("version 00 with more", {"traceparent": TRACEPARENT + "-what"}, Trace()),
    ("version ff", {"traceparent": "ff" + TRACEPARENT[2:]}, Trace()),
    ("capitals", {"traceparent": TRACEPARENT.upper()}, Trace()),
    ("line end", {"traceparent": TRACEPARENT + "\n"}, Trace()),
    ("trace id of zeros", {"traceparent": "00-" + "0" * 32 + "-b7ad6b7169203331-01"}, Trace()),
    ("parent id of zeros", {"traceparent": f"00-{'a' * 32}-{'0' * 16}-01"}, Trace()),
    ("short", {"traceparent": TRACEPARENT[:-1]}, Trace()),
    ("a number", {"traceparent": 1}, Trace()),
    ("not ASCII", {"traceparent": b"\xff" * 55}, Trace()),
    ("state alone", {"tracestate": "a=1"}, Trace()),
    ("state with a bad parent", {"traceparent": "x", "tracestate": "a=1"}, Trace()),
    ("longest state", {"traceparent": TRACEPARENT, "tracestate": "a" * 512}, Trace(TRACEPARENT, "a" * 512)),
    ("state too long", {"traceparent": TRACEPARENT, "tracestate": "a" * 513}, Trace(TRACEPARENT)),
    ("state with a line end", {"traceparent": TRACEPARENT, "tracestate": "a=1\n"}, Trace(TRACEPARENT)),
    ("state empty", {"traceparent": TRACEPARENT, "tracestate": ""}, Trace(TRACEPARENT)),
    ("state a table", {"traceparent": TRACEPARENT, "tracestate": {}}, Trace(TRACEPARENT)),
]


@pytest.mark.parametrize(("headers", "trace"), [pytest.param(h, t, id=i) for i, h, t in TRACES])
def test_a_trace_context_is_carried_or_dropped_but_never_refused(headers: dict[str, Any], trace: Trace) -> None:
    of_payload, of_header = payload(**headers), header(headers=headers)
    assert isinstance(of_payload, PayloadMessage), of_payload
    assert isinstance(of_header, HeaderMessage), of_header
    assert of_payload.trace == of_header.trace == trace
