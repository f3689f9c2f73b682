"""What is accepted of each ordinal of a series, and which blocks hold it.

Accepted facts are *tiles*: single payloads, and runs of small ones in one block. Tiles are nested or disjoint (see
`bridge.runs`), and the largest ones stay. What is kept suffices to tell a duplicate from a conflict, and to name the
blocks of a tile again when a larger one takes its place. Of a run that was found in storage nobody knows what each of
its ordinals contains.

Immutable like everything the rules work on. Adding a tile copies one small chunk, so a series of a million payloads
stays cheap to follow: 9 bytes an ordinal, 4 more where it is in a run, and 8 a block where a payload has several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from bridge.layout import BlockId, marker_id

CHUNK_ORDINALS: Final = 1_024
"""A multiple of the longest run and a divisor of a part, so that no run and no edge of a part divides a chunk."""

Content: TypeAlias = bytes
"""The 8 bytes of a payload's CRC-64; none for the empty payload, because other payloads may have the CRC-64 0 too.

The length of a payload is not kept: a CRC that starts with all ones tells lengths apart as it tells bytes apart.
"""

UNSEEN: Final[Content] = b"?"
"""What an ordinal contains that is held in a run of which only storage tells: equal to nothing, and unlike nothing."""

_CRC64_BYTES: Final = 8
_EMPTY: Final = 0x80
_UNSEEN: Final = 0x40
"""Flags in a tile's code; what is left is the bit length of the tile's count, or 0 where nothing is known."""
_COUNT: Final = 0x0F
_COUNT_ONLY: Final = bytes(code & _COUNT for code in range(256))


class Chunk(msgspec.Struct, frozen=True):
    """1,024 ordinals; each member is as long as what is known needs it to be."""

    crc64s: bytes = b""
    """8 bytes an ordinal: the CRC-64 of its payload."""
    tiles: bytes = b""
    """A byte an ordinal: how large the tile is that holds it, and whether its payload is empty, or was never seen."""
    runs: bytes = b""
    """8 bytes every two ordinals: the CRC-64 of the block of the run that starts there."""
    cuts: dict[int, bytes] = {}
    """Place of an ordinal -> CRC-64s of its blocks in a row, where they are not just the one of its payload."""

    def with_tile(self, at: int, contents: Sequence[Content], blocks: Sequence[str]) -> Chunk:
        """The same chunk and one tile more, from the place `at`; tiles within it have gone."""
        count = len(contents)
        crc64s = b"".join((b"" if content == UNSEEN else content).ljust(_CRC64_BYTES, b"\0") for content in contents)
        tiles = bytes(count.bit_length() | _flag(content) for content in contents)
        runs, cuts = self.runs, self.cuts
        block_crc64s = bytes.fromhex("".join(blocks))
        if count > 1:
            runs = _spliced(runs, at // 2 * _CRC64_BYTES, block_crc64s.ljust(count // 2 * _CRC64_BYTES, b"\0"))
            if cuts:
                cuts = {place: cut for place, cut in cuts.items() if not at <= place < at + count}
        elif block_crc64s != contents[0]:
            cuts = {**cuts, at: block_crc64s}
        return Chunk(_spliced(self.crc64s, at * _CRC64_BYTES, crc64s), _spliced(self.tiles, at, tiles), runs, cuts)

    def content(self, at: int) -> Content | None:
        """Of one ordinal by its place; None where it is not known."""
        if at >= len(self.tiles) or not self.tiles[at]:
            return None
        if self.tiles[at] & _UNSEEN:
            return UNSEEN
        return b"" if self.tiles[at] & _EMPTY else self.crc64s[at * _CRC64_BYTES : (at + 1) * _CRC64_BYTES]

    def blocks(self, at: int, total_count: int, first: int, count: int) -> Iterator[BlockId]:
        """Of the tile `first`, `count` that starts at the place `at`."""
        if count > 1:
            crc64 = int.from_bytes(self.runs[at // 2 * 8 : at // 2 * 8 + 8], "big")
            yield BlockId(total_count, first, count, 0, 1, crc64)
        elif self.tiles[at] & _EMPTY:
            yield marker_id(total_count, first)
        else:
            crc64s = self.cuts.get(at) or self.crc64s[at * 8 : at * 8 + 8]
            nsub = len(crc64s) // _CRC64_BYTES
            for sub in range(nsub):
                crc64 = int.from_bytes(crc64s[sub * 8 : sub * 8 + 8], "big")
                yield BlockId(total_count, first, 1, sub, nsub, crc64)


_UNKNOWN: Final = Chunk()


class Contents(msgspec.Struct, frozen=True):
    """Ordinal -> what was accepted, in the largest tiles."""

    chunks: tuple[Chunk, ...] = ()

    def get(self, ordinal: int) -> Content | None:
        """What an ordinal contains, or None when it is not known."""
        return self._chunk(ordinal).content((ordinal - 1) % CHUNK_ORDINALS)

    def known(self, first: int, count: int) -> list[Content | None]:
        """What the ordinals of an aligned interval contain."""
        chunk, at = self._chunk(first), (first - 1) % CHUNK_ORDINALS
        if not any(chunk.tiles[at : at + count]):
            return [None] * count
        return [chunk.content(place) for place in range(at, at + count)]

    def tile(self, ordinal: int) -> int:
        """How many ordinals the tile has that holds this one; 0 where the ordinal is not known."""
        tiles, at = self._chunk(ordinal).tiles, (ordinal - 1) % CHUNK_ORDINALS
        code = tiles[at] & _COUNT if at < len(tiles) else 0
        return 1 << code >> 1

    def blocks(self, total_count: int, first: int, count: int) -> list[BlockId]:
        """What is staged for the tiles within an aligned interval, markers of empty payloads included.

        The interval must not lie within a tile that is larger.
        """
        chunk, at = self._chunk(first), (first - 1) % CHUNK_ORDINALS
        found: list[BlockId] = []
        step = 0 if any(chunk.tiles[at : at + count]) else count
        while step < count:
            tile = self.tile(first + step)
            if tile:
                found += chunk.blocks(at + step, total_count, first + step, tile)
            step += tile or 1
        return found

    def counts(self, ordinals: range) -> bytes:
        """For each ordinal of a part the bit length of the count of its tile, 0 where it is not known."""
        chunks = self.chunks[(ordinals.start - 1) // CHUNK_ORDINALS : -(-(ordinals.stop - 1) // CHUNK_ORDINALS)]
        codes = b"".join(chunk.tiles.ljust(CHUNK_ORDINALS, b"\0") for chunk in chunks).translate(_COUNT_ONLY)
        return codes[: len(ordinals)].ljust(len(ordinals), b"\0")

    def with_tile(self, first: int, contents: Sequence[Content], blocks: Sequence[str]) -> Contents:
        """The same and one tile more: what its ordinals contain, and the CRC-64s of its blocks in hex.

        Tiles within it have gone afterwards; it must not be within another one.
        """
        number, at = divmod(first - 1, CHUNK_ORDINALS)
        chunks = self.chunks + (_UNKNOWN,) * (number + 1 - len(self.chunks))
        return Contents((*chunks[:number], chunks[number].with_tile(at, contents, blocks), *chunks[number + 1 :]))

    def _chunk(self, ordinal: int) -> Chunk:
        number = (ordinal - 1) // CHUNK_ORDINALS
        return self.chunks[number] if number < len(self.chunks) else _UNKNOWN


def _flag(content: Content) -> int:
    return _UNSEEN if content == UNSEEN else 0 if content else _EMPTY


def _spliced(old: bytes, start: int, new: bytes) -> bytes:
    """The old bytes, with zeros behind them as needed, where the new ones replace those from `start` on."""
    return b"".join((old[:start].ljust(start, b"\0"), new, old[start + len(new) :]))
