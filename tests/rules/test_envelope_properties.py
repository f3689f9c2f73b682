"""The inbound contract under everything hypothesis can think of: laws instead of rows."""

from __future__ import annotations

import json
import posixpath
import random
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bridge.contract.inbound import (
    PAYLOAD_MAX_BYTES,
    Header,
    HeaderMessage,
    PayloadMessage,
    Rejected,
    SeriesSpec,
    Timeouts,
)
from bridge.envelope import Properties, check_header, parse_header, parse_payload
from bridge.layout import HEADER_BLOB, part_name, record_name

# Neither a deadline nor the check for slow generation: both would measure what else the machine is doing.
bounded = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# ---------------------------------------------------------------------------------------------------------------------
# Any message at all

GOOD_BODY = b'{"series": [{"type": "a", "totalCount": 2}], "timeouts": {"idle": "PT1M"}, "labels": {"k": "v"}}'

anything_in_a_table = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64),
        st.floats(),
        st.text(max_size=80),
        st.binary(max_size=80),
        st.decimals(allow_nan=True),
        st.just(datetime(2026, 1, 1, tzinfo=UTC)),
        st.sampled_from([0, 1, 2, 10**4_000, "1", "a", "a" * 64, b"a", bytearray(b"a"), Decimal(1)]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def anything_or(*good: object) -> st.SearchStrategy[Any]:
    """Mostly one of the good values, so that later checks are reached as well."""
    return st.integers(0, 9).flatmap(lambda n: anything_in_a_table if n == 9 else st.sampled_from(good))


tables = st.fixed_dictionaries(
    {
        "brh_series_type": anything_or("cashflows"),
        "brh_ordinal": anything_or(1, 3),
        "brh_total_count": anything_or(3),
    },
    optional={
        "brh_sha256": anything_or("0" * 64),
        "brh_content_length": anything_or(10),
        "traceparent": anything_or("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        "tracestate": anything_or("a=1"),
        "other": anything_in_a_table,
    },
)
any_properties = st.builds(
    Properties,
    type=anything_or("brh.payload.v1", "brh.header.v1"),
    correlation_id=anything_or("T1"),
    content_type=anything_or("application/json"),
    content_encoding=anything_or(None),
    message_id=anything_or("m"),
    app_id=anything_or("a"),
    reply_to=anything_or(None, "q"),
    headers=tables,
)
header_properties = st.just(Properties(type="brh.header.v1", correlation_id="T1", content_type="application/json"))

anything_in_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
KNOWN = ["series", "transactionType", "timeouts", "onTimeout", "onConflict", "labels", "type", "totalCount", "idle"]
known_members = st.dictionaries(st.sampled_from(KNOWN), anything_in_json | st.just([{"type": "a"}]), max_size=5)


def damaged(cut: int, byte: int) -> bytes:
    return GOOD_BODY[:cut] + bytes([byte]) + GOOD_BODY[cut + 1 :]


any_body = st.one_of(
    st.just(GOOD_BODY),
    st.binary(max_size=100),
    anything_in_json.map(lambda value: json.dumps(value).encode()),
    known_members.map(lambda value: json.dumps(value).encode()),
    st.builds(damaged, st.integers(0, len(GOOD_BODY) - 1), st.integers(0, 255)),
    st.text('[]{}":,0123456789eE.+-\\u \n', max_size=60).map(str.encode),
)


def assert_fit_for_a_log(found: Rejected) -> None:
    assert found.reason.isascii()
    assert found.reason.isprintable()
    assert len(found.reason) <= 300


@bounded
@given(any_properties, st.integers(0, 2 * PAYLOAD_MAX_BYTES) | st.just(10))
def test_every_payload_message_is_accepted_or_refused(properties: Properties, size: int) -> None:
    found = parse_payload(properties, size)
    if isinstance(found, Rejected):
        assert_fit_for_a_log(found)
        return
    assert type(found) is PayloadMessage
    assert type(found.ordinal) is type(found.total_count) is int
    assert 1 <= found.ordinal <= found.total_count <= 1_000_000
    assert found.size == size <= PAYLOAD_MAX_BYTES


@bounded
@given(any_properties | header_properties, any_body)
def test_every_header_message_is_accepted_or_refused(properties: Properties, body: bytes) -> None:
    found = parse_header(properties, body)
    if isinstance(found, Rejected):
        assert_fit_for_a_log(found)
    else:
        assert type(found) is HeaderMessage
        assert 1 <= len(found.header.series) <= 1_000
    early = check_header(properties, len(body))
    assert early is None or early == found


@bounded
@given(any_properties, st.integers(0, 100))
def test_no_message_is_both_a_header_and_a_payload(properties: Properties, size: int) -> None:
    assert isinstance(parse_payload(properties, size), Rejected) or isinstance(check_header(properties, size), Rejected)


# ---------------------------------------------------------------------------------------------------------------------
# Names become paths

names = (
    st.text("aZ09._-", min_size=1, max_size=8)
    | st.text("aZ09._-/\\%e2\n \u0661\u2024\uff0e", min_size=1, max_size=8)
    | st.text("a.-_", min_size=1, max_size=200)
)


@bounded
@given(names, names)
@example("a", "..")
@example("..", "a")
@example("a", "b/../../c")
@example("a", "_header.json")
def test_an_accepted_name_stays_in_its_own_folder(transaction: str, series: str) -> None:
    headers = {"brh_series_type": series, "brh_ordinal": 1, "brh_total_count": 1}
    found = parse_payload(Properties(type="brh.payload.v1", correlation_id=transaction, headers=headers), 0)
    if isinstance(found, Rejected):
        return
    part = part_name(found.transaction, found.series, 0)
    record = record_name(found.transaction, HEADER_BLOB)
    for path, folders in ((part, [transaction, series]), (record, [transaction])):
        assert path.split("/")[:-1] == folders
        assert posixpath.normpath(path) == path == quote(path)
        assert len(path) <= 1_024
    assert not part.startswith(record)


# ---------------------------------------------------------------------------------------------------------------------
# The digest is one of the JSON value

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from([0, 1, -1, 10, 100, 0.1, 1.0, "1", "true", "null", "", "1.0", 2**53, 2**53 + 1])
)
json_values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


class Respell:
    """Writes a JSON value in one of its many spellings."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def space(self) -> str:
        return "".join(self.random.choices(" \t\r\n", k=self.random.randrange(3)))

    def write(self, value: object) -> str:
        match value:
            case dict():
                members = self.random.sample(list(value.items()), len(value))
                text = ",".join(f"{self.space()}{self.string(k)}{self.space()}:{self.write(v)}" for k, v in members)
                written = "{" + (text or self.space()) + "}"
            case list():
                written = "[" + (",".join(map(self.write, value)) or self.space()) + "]"
            case str():
                written = self.string(value)
            case bool() | None:
                written = json.dumps(value)
            case _:
                written = self.number(value)
        return self.space() + written + self.space()

    def string(self, text: str) -> str:
        return '"' + "".join(map(self.character, text)) + '"'

    def character(self, one: str) -> str:
        escaped = json.dumps(one)[1:-1]
        units = one.encode("utf-16-be")
        hexes = "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))
        raw = one if one >= " " and one not in '"\\' else escaped
        return self.random.choice([raw, escaped, hexes])

    def number(self, value: Any) -> str:
        sign, digits, exponent = Decimal(repr(value)).as_tuple()
        assert isinstance(exponent, int)
        shift = self.random.randrange(4) if any(digits) else 0  # JSON has no 00
        mantissa = ("-" if sign else "") + "".join(map(str, digits)) + "0" * shift
        exponent -= shift
        return self.random.choice([repr(value), f"{mantissa}e{exponent}", f"{mantissa}.0{'0' * shift}E{exponent:+05d}"])


def digest(text: str) -> str:
    properties = Properties(type="brh.header.v1", correlation_id="T1", content_type="application/json")
    found = parse_header(properties, text.encode())
    assert isinstance(found, HeaderMessage), found
    return found.digest


def same(value: object) -> object:
    """What makes a JSON value itself; two values are the same exactly when these are equal."""
    match value:
        case bool() | None | str():
            return (type(value).__name__, value)
        case list():
            return ("list", tuple(map(same, value)))
        case dict():
            return ("dict", frozenset((name, same(inner)) for name, inner in value.items()))
        case _:
            return ("number", Fraction(repr(value)))


@bounded
@given(json_values, st.integers(0, 2**32))
def test_the_digest_is_the_same_in_every_spelling(value: object, seed: int) -> None:
    body = {"series": [{"type": "b"}, {"type": "a"}], "x": value}
    respelled = Respell(seed).write({"x": value})
    respelled = respelled.rstrip()[:-1] + ', "series" : [{"type":"\\u0062"},{"type":"a"}]}'
    assert digest(respelled) == digest(json.dumps(body))


@bounded
@given(json_values, json_values)
@example(1, True)
@example(0, False)
@example(0, None)
@example(1, "1")
@example(1, 1.0)
@example(-0.0, 0)
@example([], {})
@example([[]], [])
@example([1, 2], [2, 1])
@example(["a,b"], ["a", "b"])
@example(["a", "b"], ['a","b'])
@example({"a": {"b": 1}}, {"a": {}, "b": 1})
@example("\u00e9", "e\u0301")
@example(2**53, 2**53 + 1)
@example(float(2**53), 2**53 + 1)
@example(1e-320, 0)
@example("\\u0061", "a")
def test_digests_are_equal_for_equal_values_only(one: object, other: object) -> None:
    spelled = [json.dumps({"series": [{"type": "a"}], "x": value}, ensure_ascii=False) for value in (one, other)]
    assert (digest(spelled[0]) == digest(spelled[1])) == (same(one) == same(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1e999999999999999999", "1e999999999999999998"),
        ("0.1", "0.1000000000000000055511151231257827021181583404541015625"),
        ("1e511", "1e512"),
        ("1e512", "1e513"),
        ("-1e-9", "1e-9"),
    ],
)
def test_numbers_that_a_double_confuses_are_different(one: str, other: str) -> None:
    assert digest(f'{{"series":[{{"type":"a"}}],"x":{one}}}') != digest(f'{{"series":[{{"type":"a"}}],"x":{other}}}')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1" + "0" * 511, "1e511"),
        ("1e512", "10e511"),
        ("0e999999999999999999999", "-0.0"),
        ("1.50", "15e-1"),
        ("-1E+2", "-100"),
        ("0.00001", "1e-5"),
    ],
)
def test_numbers_that_are_equal_are_the_same(one: str, other: str) -> None:
    assert digest(f'{{"series":[{{"type":"a"}}],"x":{one}}}') == digest(f'{{"series":[{{"type":"a"}}],"x":{other}}}')


def test_the_order_of_the_series_is_part_of_the_value() -> None:
    assert digest('{"series":[{"type":"a"},{"type":"b"}]}') != digest('{"series":[{"type":"b"},{"type":"a"}]}')


# ---------------------------------------------------------------------------------------------------------------------
# A valid header says what was meant

plain_names = st.text("abcXYZ019", min_size=1, max_size=63)
series_specs = st.builds(
    SeriesSpec,
    type=plain_names,
    total_count=st.none() | st.integers(0, 1_000_000),
    content_type=st.none() | st.sampled_from(["text/csv", "application/json; charset=utf-8"]),
)
durations = st.none() | st.tuples(
    st.integers(0, 6), st.integers(0, 30), st.integers(0, 90), st.integers(0, 90), st.integers(0, 999)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def spelled_duration(fields: tuple[int, ...]) -> tuple[str, float]:
    days, hours, minutes, seconds, milliseconds = fields
    text = f"P{days}DT{hours}H{minutes}M{seconds}.{milliseconds:03}S"
    total = Fraction(days * 86_400 + hours * 3_600 + minutes * 60 + seconds) + Fraction(milliseconds, 1_000)
    return text, float(total)


@bounded
@given(
    series=st.lists(series_specs, min_size=1, max_size=6, unique_by=lambda spec: spec.type),
    transaction_type=st.none() | plain_names,
    idle=durations,
    awaiting=durations,
    on_timeout=st.sampled_from([None, "abandon", "partial"]),
    on_conflict=st.sampled_from([None, "fail", "keep-first"]),
    labels=st.dictionaries(texts, texts, max_size=5),
    reply_to=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
)
def test_a_valid_header_is_understood(
    series: list[SeriesSpec],
    transaction_type: str | None,
    idle: tuple[int, ...] | None,
    awaiting: tuple[int, ...] | None,
    on_timeout: Any,
    on_conflict: Any,
    labels: dict[str, str],
    reply_to: str | None,
) -> None:
    timeouts = {name: spelled_duration(f) for name, f in (("idle", idle), ("awaiting", awaiting)) if f is not None}
    assume(all(1 <= seconds <= 518_400 for _, seconds in timeouts.values()))
    specs = [{"type": s.type, "totalCount": s.total_count, "contentType": s.content_type} for s in series]
    body: dict[str, Any] = {
        "series": [{name: value for name, value in spec.items() if value is not None} for spec in specs],
        "transactionType": transaction_type,
        "timeouts": {name: text for name, (text, _) in timeouts.items()} or None,
        "onTimeout": on_timeout,
        "onConflict": on_conflict,
        "labels": labels or None,
    }
    text = json.dumps({name: value for name, value in body.items() if value is not None})
    properties = Properties(
        type="brh.header.v1", correlation_id="T1", content_type="application/json", reply_to=reply_to
    )
    found = parse_header(properties, text.encode())
    assert isinstance(found, HeaderMessage), found
    assert found.reply_to == reply_to
    assert found.header == Header(
        series=tuple(series),
        transaction_type=transaction_type or "default",
        timeouts=Timeouts(*(timeouts[name][1] if name in timeouts else None for name in ("idle", "awaiting"))),
        on_timeout=on_timeout,
        on_conflict=on_conflict,
        labels=labels,
    )
