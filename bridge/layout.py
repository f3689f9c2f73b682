"""Where bytes live: blob names, block ids and sizes. Pure.

Everything follows from a transaction's names and a series' `total_count`, so any number of bridges agree without
talking to each other, and a block list alone tells what was received.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from bridge.contract.inbound import is_series_type, is_transaction_id

MIB: Final = 1 << 20
SHORT_SERIES: Final = 1_024
"""Up to this total count a series has one part with small sub-blocks."""
LONG_PART_ORDINALS: Final = 4_096
"""Of one part of a longer series: 4,096 payloads of 250 MB in 32 MiB blocks stay below Azure's 50,000 blocks."""
SUB_BLOCK_BYTES: Final = 8 * MIB
LONG_SUB_BLOCK_BYTES: Final = 32 * MIB

HEADER_BLOB: Final = "_header.json"
OUTCOME_BLOB: Final = "_outcome.json"
TOLD_BLOB: Final = "_told.json"
ORPHANS_BLOB: Final = "_orphans.json"

EMPTY_MARKER: Final = b"\0"
"""What is staged for an empty payload, because Azure refuses empty blocks. Its id has `nsub` 0 and, as every id, the
CRC-64 of the bytes that are staged, so one rule verifies all blocks. It is in no fact and never committed."""
EMPTY_MARKER_CRC64: Final = 0xD5DA5047EFEC8728

_PART = re.compile(r"([^/]+)/([^/]+)/part-([0-9]{5})")
_BLOCK_ID = re.compile(r"([0-9a-f]{5})\.([0-9a-f]{5})\.([0-9a-f]{3})\.([0-9a-f]{3})\.([0-9a-f]{3})\.([0-9a-f]{16})")


def sub_block_bytes(total_count: int) -> int:
    """Size of the blocks that a payload is cut into; the last one may be shorter."""
    return SUB_BLOCK_BYTES if total_count <= SHORT_SERIES else LONG_SUB_BLOCK_BYTES


def ordinals_per_part(total_count: int) -> int:
    """How many ordinals one blob holds."""
    return SHORT_SERIES if total_count <= SHORT_SERIES else LONG_PART_ORDINALS


def part_of(ordinal: int, total_count: int) -> int:
    """Number of the part, from 0, that an ordinal, from 1, belongs to."""
    return (ordinal - 1) // ordinals_per_part(total_count)


def part_count(total_count: int) -> int:
    """How many parts a series has; an empty series has one part of 0 bytes."""
    return max(1, -(-total_count // ordinals_per_part(total_count)))


def part_ordinals(part: int, total_count: int) -> range:
    """The ordinals of a part."""
    size = ordinals_per_part(total_count)
    return range(part * size + 1, min(total_count, (part + 1) * size) + 1)


def part_name(transaction: str, series: str, part: int) -> str:
    """Name of a part's blob in the container."""
    return f"{transaction}/{series}/part-{part:05d}"


class PartName(NamedTuple):
    """What the name of a part's blob says."""

    transaction: str
    series: str
    part: int

    @classmethod
    def parse(cls, name: str) -> PartName | None:
        """The part that a blob of this name is; None when it is none.

        What no message can have led to is none of ours, and so nothing that a sweep may remove.
        """
        found = _PART.fullmatch(name)
        if found is None or not (is_transaction_id(found[1]) and is_series_type(found[2])):
            return None
        return cls(found[1], found[2], int(found[3]))


def record_name(transaction: str, record: str) -> str:
    """Name of one of the write-once records (`HEADER_BLOB`, `OUTCOME_BLOB`, ...) in the container."""
    return f"{transaction}/{record}"


def marker_id(total_count: int, ordinal: int) -> BlockId:
    """Id of the block that marks an ordinal's payload as empty."""
    return BlockId(total_count, ordinal, 1, 0, 0, EMPTY_MARKER_CRC64)


class BlockId(msgspec.Struct, frozen=True, order=True):
    """What an uncommitted block holds; its text is the block's id, so an id never denotes two contents.

    The same bytes staged again overwrite themselves; other bytes for the same ordinal get another id, and so does the
    same payload of a series that is said to have another total count.
    """

    total_count: int
    """Of the series, as the payload says; 0 for `KEEP_ALIVE` alone. Without it a list of blocks would not tell how
    much is missing behind the last one."""
    first: int
    """First ordinal in the block; 0 for `KEEP_ALIVE` alone."""
    count: int
    """How many ordinals: more than one only for a run of small payloads."""
    sub: int
    """Which sub-block of the payload, from 0."""
    nsub: int
    """Of how many; 0 marks an empty payload, whose one-byte block is never committed (Azure refuses empty blocks)."""
    crc64: int
    """CRC-64/NVME of the block's bytes."""

    def __str__(self) -> str:
        said = f"{self.total_count:05x}.{self.first:05x}.{self.count:03x}"
        return f"{said}.{self.sub:03x}.{self.nsub:03x}.{self.crc64:016x}"

    @classmethod
    def parse(cls, text: str) -> BlockId | None:
        """The id in the text; None when it is not one of ours."""
        found = _BLOCK_ID.fullmatch(text)
        return cls(*(int(group, 16) for group in found.groups())) if found else None


KEEP_ALIVE: Final = BlockId(0, 0, 0, 0, 0, EMPTY_MARKER_CRC64)
"""Staged to renew the week after which Azure drops what is uncommitted: of no ordinal, and left out of every list."""
