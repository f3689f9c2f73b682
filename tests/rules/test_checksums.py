"""The checksum is the one that Azure verifies, and it combines."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from bridge.checksums import azure_crc64, combine, crc64, hex16

POLYNOMIAL = 0x9A6C9329AC4BC9B5


def bitwise(data: bytes) -> int:
    """The definition, bit by bit: reflected, all ones before and after."""
    value = 2**64 - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
    return value ^ (2**64 - 1)


def test_check_value_of_the_catalogue() -> None:
    assert hex16(crc64([b"123456789"])) == "ae8b14860a799888"


@given(st.binary(max_size=200))
def test_it_is_what_its_definition_says(data: bytes) -> None:
    assert crc64([data]) == bitwise(data)


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_pieces_do_not_matter(pieces: list[bytes]) -> None:
    assert crc64(pieces) == crc64([b"".join(pieces)]) == crc64([memoryview(piece) for piece in pieces])


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_the_whole_follows_from_its_parts(parts: list[bytes]) -> None:
    whole = 0
    for part in parts:
        whole = combine(whole, crc64([part]), len(part))
    assert whole == crc64([b"".join(parts)])


def test_of_nothing_it_is_zero() -> None:
    assert crc64([]) == crc64([b""]) == 0
    assert hex16(0) == "0" * 16


@given(st.integers(0, 2**64 - 1))
def test_azure_wants_it_little_endian_in_base64(value: int) -> None:
    assert int.from_bytes(base64.b64decode(azure_crc64(value)), "little") == value
