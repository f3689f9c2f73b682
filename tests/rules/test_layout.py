"""Names, ids and sizes that any number of bridges must agree on without talking to each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.inbound import PAYLOAD_MAX_BYTES, TOTAL_COUNT_MAX
from bridge.layout import (
    MIB,
    SHORT_SERIES,
    BlockId,
    ordinals_per_part,
    part_count,
    part_name,
    part_of,
    part_ordinals,
    record_name,
    sub_block_bytes,
)

total_counts = st.integers(1, TOTAL_COUNT_MAX) | st.sampled_from([SHORT_SERIES, SHORT_SERIES + 1, 4_096, 4_097])
block_ids = st.builds(
    BlockId,
    total_count=st.integers(0, TOTAL_COUNT_MAX),
    first=st.integers(1, TOTAL_COUNT_MAX),
    count=st.integers(1, 256),
    sub=st.integers(0, 31),
    nsub=st.integers(0, 32),
    crc64=st.integers(0, 2**64 - 1),
)


@given(block_ids)
def test_an_id_survives_its_text(block: BlockId) -> None:
    assert BlockId.parse(str(block)) == block


@given(block_ids)
def test_every_id_has_the_same_width_and_stays_below_azures_64_bytes(block: BlockId) -> None:
    assert len(str(block).encode("ascii")) == 40


def test_an_id_looks_like_this() -> None:
    block = BlockId(1_000_000, 0x1A, 1, 2, 0x20, 0xAE8B14860A799888)
    assert str(block) == "f4240.0001a.001.002.020.ae8b14860a799888"


@given(block_ids, block_ids)
def test_ids_sort_as_text_like_they_sort_as_numbers(one: BlockId, other: BlockId) -> None:
    assert (str(one) < str(other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f4240.0001a.001.002.020.ae8b14860a79988",
        "f4240.0001a.001.002.020.ae8b14860a7998888",
        "F4240.0001a.001.002.020.ae8b14860a799888",
        "f4240.0001a.001.002.020.ae8b14860a799888\n",
        " 4240.0001a.001.002.020.ae8b14860a799888",
        "f4240-0001a-001-002-020-ae8b14860a799888",
        "f4240.0001a.0x1.002.020.ae8b14860a799888",
        "f4240.0001a.001.002.020.ae8b14860a79988٣",
        "0001a.001.002.020.ae8b14860a799888",
        "x" * 40,
    ],
)
def test_text_that_is_no_id_of_ours_is_none(text: str) -> None:
    assert BlockId.parse(text) is None


@given(st.text())
def test_no_text_makes_parsing_fail(text: str) -> None:
    block = BlockId.parse(text)
    assert block is None or str(block) == text


@given(total_counts)
def test_parts_tile_the_ordinals_in_order(total_count: int) -> None:
    parts = [part_ordinals(part, total_count) for part in range(part_count(total_count))]
    assert parts[0].start == 1
    assert parts[-1].stop == total_count + 1
    assert all(one.stop == other.start for one, other in pairwise(parts))
    assert all(parts)


@given(st.data(), total_counts)
def test_an_ordinal_is_in_the_part_that_says_so(data: st.DataObject, total_count: int) -> None:
    ordinal = data.draw(st.integers(1, total_count))
    assert ordinal in part_ordinals(part_of(ordinal, total_count), total_count)


@given(total_counts)
def test_no_part_needs_more_blocks_than_azure_commits(total_count: int) -> None:
    blocks_of_a_payload = -(-PAYLOAD_MAX_BYTES // sub_block_bytes(total_count))
    assert ordinals_per_part(total_count) * blocks_of_a_payload <= 50_000


@given(total_counts)
def test_sub_block_numbers_fit_their_three_digits(total_count: int) -> None:
    assert -(-PAYLOAD_MAX_BYTES // sub_block_bytes(total_count)) <= 0xFFF


@given(total_counts)
def test_an_aligned_run_of_small_payloads_never_crosses_a_part(total_count: int) -> None:
    assert ordinals_per_part(total_count) % 256 == 0


@pytest.mark.parametrize(
    ("total_count", "sub_block", "per_part", "parts"),
    [
        (1, 8 * MIB, 1_024, 1),
        (1_024, 8 * MIB, 1_024, 1),
        (1_025, 32 * MIB, 4_096, 1),
        (4_096, 32 * MIB, 4_096, 1),
        (4_097, 32 * MIB, 4_096, 2),
        (1_000_000, 32 * MIB, 4_096, 245),
    ],
)
def test_sizes_change_where_the_layout_says(total_count: int, sub_block: int, per_part: int, parts: int) -> None:
    assert sub_block_bytes(total_count) == sub_block
    assert ordinals_per_part(total_count) == per_part
    assert part_count(total_count) == parts


def test_an_empty_series_has_one_empty_part() -> None:
    assert part_count(0) == 1
    assert list(part_ordinals(0, 0)) == []


def test_names_are_paths_in_the_container() -> None:
    assert part_name("t-1", "cashflows", 7) == "t-1/cashflows/part-00007"
    assert record_name("t-1", "_outcome.json") == "t-1/_outcome.json"
