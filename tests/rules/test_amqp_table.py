"""The headers of AMQP: read as the library reads them, in memory and time that follow from their length."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode, encode

from bridge.amqp_table import FIXED_BYTES, MEASURED, NESTED_MAX, as_time, read_table
from bridge.frames import FRAME_MAX_BYTES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(width=32, allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=50)
    | st.binary(max_size=20).map(bytearray)
    | st.decimals(0, 10_000, places=2)
    | st.just(NOW)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


@given(st.dictionaries(texts, values, max_size=6), st.binary(max_size=9))
def test_a_table_is_read_as_the_library_reads_it(sent: dict[str, Any], behind: bytes) -> None:
    encoded = encode.field_table(sent)
    assert read_table(encoded + behind) == decode.field_table(encoded + behind)


ODD = [
    b"t\x02",
    b"B\xff",
    b"u\xff\xff",
    b"i\xff\xff\xff\xff",
    b"L" + b"\xff" * 8,
    b"d" + struct.pack(">d", 0.1),
    b"\x00",
]
ODD += [b"D\x02\xff\xff\xff\xff", b"S\x00\x00\x00\x02\xff\xfe", b"T" + struct.pack(">Q", 1_700_000_000_000)]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_so_is_every_kind_that_other_clients_write(value: bytes) -> None:
    encoded = table(b"\x01a" + value + b"\x01bV")
    assert read_table(encoded) == decode.field_table(encoded)


def test_every_kind_is_known() -> None:
    assert {bytes((kind,)) for kind in {*FIXED_BYTES, *MEASURED}} == set(decode.TABLE_MAPPING)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(table))
def test_anything_else_is_an_error_and_nothing_else(encoded: bytes) -> None:
    try:
        end, found = read_table(encoded)
    except ValueError:
        return
    assert end <= len(encoded)
    assert (end, found) == decode.field_table(encoded), "what is taken is what the library says"


@pytest.mark.parametrize(
    "entries",
    [
        b"\x01",
        b"\x05ab",
        b"\x01aS\x00\x00\x00\x09x",
        b"\x01aA\x00\x00\x00\x01",
        b"\x01al1234567",
        b"\x01a?",
        b"\x01\xffV",
        b"\x01aA\x00\x00\x00\x05l12345678",
    ],
    ids=repr,
)
def test_what_does_not_fit_is_no_table(entries: bytes) -> None:
    with pytest.raises(ValueError, match=r"table|value|utf-8|longer"):
        read_table(table(entries))


def nested(levels: int, wrap: Callable[[bytes], bytes]) -> bytes:
    inner = b"\x01nV"
    for _ in range(levels):
        inner = wrap(inner)
    return table(inner)


def in_a_table(inner: bytes) -> bytes:
    return b"\x01nF" + table(inner)


def in_an_array(inner: bytes) -> bytes:
    return b"\x01nA" + table(b"F" + table(inner))


def test_nesting_has_one_limit() -> None:
    assert read_table(nested(NESTED_MAX, in_a_table))[1] != {}
    with pytest.raises(ValueError, match="levels"):
        read_table(nested(NESTED_MAX + 1, in_a_table))


@pytest.mark.parametrize("wrap", [in_a_table, in_an_array])
def test_a_table_that_nests_without_end_costs_no_memory(wrap: Callable[[bytes], bytes]) -> None:
    encoded = nested(8_000, wrap)
    assert 50_000 < len(encoded) < FRAME_MAX_BYTES
    tracemalloc.start()
    with pytest.raises(ValueError, match="levels"):
        read_table(encoded)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_an_array_of_nothing_is_read_once() -> None:
    class Counted(bytes):
        copied = 0

        def __getitem__(self, key: Any) -> Any:
            got = super().__getitem__(key)
            if isinstance(got, bytes):
                Counted.copied += len(got)
            return got

    encoded = Counted(table(b"\x01nA" + table(b"V" * 100_000)))
    assert read_table(encoded)[1] == {"n": [None] * 100_000}
    assert Counted.copied < 1_000, "the rest is copied for each value"


@pytest.mark.parametrize("seconds", [0, 1 << 32, 1 << 45, (1 << 64) - 1])
def test_a_time_is_one_or_none(seconds: int) -> None:
    assert as_time(seconds) is None or isinstance(as_time(seconds), datetime)


def test_a_decimal_keeps_its_scale() -> None:
    assert read_table(table(b"\x01aD\x02\x00\x00\x04\xd2"))[1] == {"a": Decimal("12.34")}


def test_nothing_of_a_table_waits_for_cycles_to_be_collected() -> None:
    encoded = encode.field_table({"text": "x", "list": [{"inner": True}], "bytes": bytearray(b"y")})
    gc.collect()
    gc.disable()
    try:
        read_table(encoded)
        assert gc.collect() == 0
    finally:
        gc.enable()
