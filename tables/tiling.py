"""How the ordinals of a part are tiled, as a short text for a plan. Pure.

Two bits an ordinal say all of it: whether a tile starts there, and whether the ordinal is held at all. So the text is
bounded by the length of the part, however runs, single payloads and holes alternate: `TEXT_CHARS_MAX` for the longest.
A list of the runs would have no such bound: at 30 bytes for every second ordinal it passes any record.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode, b64encode
from functools import cache, lru_cache
from typing import Final

from bridge.contract.inbound import TOTAL_COUNT_MAX
from bridge.layout import ordinals_per_part
from bridge.runs import Interval, is_aligned

_STORED_BYTES: Final = 5
"""What deflate adds to bytes that it cannot make shorter: the head of one stored block."""
TEXT_CHARS_MAX: Final = -(-(2 * -(-ordinals_per_part(TOTAL_COUNT_MAX) // 8) + _STORED_BYTES) // 3) * 4

_TILE: Final = re.compile(r"10*")
_TILES: Final = re.compile(r"(?: |10*)*")
_HELD: Final = b"0" + b"1" * 255


class BadTiling(ValueError):
    """A text that tiles no such part."""


def encode(counts: bytes) -> str:
    """The tiling of a part: empty where every ordinal is a tile of its own, as for all payloads that are not small.

    Args:
        counts: for each ordinal the bit length of the count of its tile, 0 where it is in none.
    """
    ordinals = len(counts)
    if counts.count(1) == ordinals:
        return ""
    starts = 0
    for length in set(counts) - {0}:
        # A tile starts behind a multiple of its count, as the part does.
        starts |= _bits(counts, _only(length)) & _every(1 << length >> 1, ordinals)
    bitmaps = [starts, _bits(counts, _HELD)] if 0 in counts else [starts]
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = deflate.compress(b"".join(bits.to_bytes(-(-ordinals // 8), "big") for bits in bitmaps))
    return b64encode(packed + deflate.flush()).decode()


def decode(text: str, ordinals: range) -> list[Interval]:
    """The tiles of a part in ascending order. Raises BadTiling when the text is not what `encode` writes for it."""
    if not text:
        return [Interval(ordinal, 1) for ordinal in ordinals]
    size = -(-len(ordinals) // 8)
    bitmaps = _inflated(text, 2 * size)
    if not ordinals or len(bitmaps) not in (size, 2 * size):
        raise BadTiling(f"a tiling of {len(bitmaps)} bytes for {len(ordinals)} ordinals")
    starts, held = (_unpacked(bitmaps[at : at + size], len(ordinals)) for at in (0, size))
    if len(bitmaps) > size:
        starts = "".join(start if there == "1" else " " for start, there in zip(starts, held, strict=True))
    tiles = [Interval(ordinals[tile.start()], len(tile[0])) for tile in _TILE.finditer(starts)]
    if not _TILES.fullmatch(starts) or not all(is_aligned(tile.first, tile.count) for tile in tiles):
        raise BadTiling("a tiling with a tile that is no run, or begins nowhere")
    return tiles


def _inflated(text: str, most: int) -> bytes:
    """At most one byte more than that, however much the text unpacks to."""
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        return inflate.decompress(b64decode(text, validate=True), most + 1)
    except (zlib.error, ValueError) as error:
        raise BadTiling(f"a tiling that cannot be unpacked: {error}") from error


def _bits(counts: bytes, digits: bytes) -> int:
    """A bit for each ordinal, the first one the most significant."""
    return int(counts.translate(digits), 2)


@cache
def _only(length: int) -> bytes:
    return bytes(49 if byte == length else 48 for byte in range(256))  # the digits 1 and 0


@lru_cache(1_024)
def _every(count: int, ordinals: int) -> int:
    """The first ordinal of every `count`."""
    return int(("1" + "0" * (count - 1)) * (ordinals // count + 1), 2) >> (ordinals // count + 1) * count - ordinals


def _unpacked(bits: bytes, ordinals: int) -> str:
    unpacked = f"{int.from_bytes(bits, 'big'):0{ordinals}b}"
    if len(unpacked) > ordinals:
        raise BadTiling(f"a tiling of more than {ordinals} ordinals")
    return unpacked
