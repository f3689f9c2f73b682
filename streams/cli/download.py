"""The series of a completed result, downloaded into files and verified against the outcome document.

A file has its final name only when every byte of it was verified. Until then it is `.NAME.partial`, to which a later
run adds what is missing: whole parts that are in it and right are not downloaded again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from bridge.blobs import BlobChanged, Blobs
from bridge.checksums import combine, crc64, hex16
from bridge.contract.inbound import is_series_type
from bridge.contract.outbound import Part, SeriesResult
from bridge.layout import MIB
from streams.cli.errors import EXIT_DATA_WRONG, EXIT_NOT_READY, CliError

_READ_BYTES: Final = 4 * MIB


class Fetched(msgspec.Struct, frozen=True, rename="camel"):
    """One series as it stands on disk."""

    series_type: str
    file: str | None
    """None: the outcome has nothing of this series."""
    bytes: int
    ok: bool


class FetchedSeries(msgspec.Struct, frozen=True):
    """All of them; `brh fetch --json` prints it."""

    series: list[Fetched]


async def fetch_series(
    blobs: Blobs,
    transaction: str,
    series: SeriesResult,
    folder: Path,
    on_bytes: Callable[[int], None],
    on_found: Callable[[int], None] | None = None,
) -> Fetched:
    """Make `folder/<series>` what the outcome says, and verify it.

    Args:
        blobs: where the parts are.
        transaction: its id.
        series: as the outcome document has it.
        folder: must exist.
        on_bytes: told of each piece that is downloaded.
        on_found: told of what was there already, and is right; None: as `on_bytes`.

    Raises:
        CliError: the file cannot be written, or somebody else is writing it.
        BlobsError: as the storage does. What was verified so far stays for the next run.
    """
    if not series.parts:
        return Fetched(series.series_type, None, 0, ok=True)
    on_found = on_found or on_bytes
    target = target_of(folder, series.series_type)
    if await asyncio.to_thread(_is_right, target, series):
        on_found(series.bytes)
        return Fetched(series.series_type, str(target), series.bytes, ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with _only_writer(partial) as file:
        done = await asyncio.to_thread(_verified_parts, file, series.parts)
        on_found(sum(part.bytes for part in series.parts[:done]))
        for part in series.parts[done:]:
            name = f"{transaction}/{series.series_type}/{part.uri.rpartition('/')[2]}"
            if not await _append(blobs, name, part, file, on_bytes):
                return Fetched(series.series_type, None, file.tell(), ok=False)
        await asyncio.to_thread(_settle, file)
        size = file.tell()
        if size != series.bytes:
            return Fetched(series.series_type, None, size, ok=False)
        partial.replace(target)
    return Fetched(series.series_type, str(target), size, ok=True)


def target_of(folder: Path, series: str) -> Path:
    """The file of a series. Raises CliError when it would not be directly in the folder."""
    target = folder / series
    if not is_series_type(series) or target.parent != folder or target.is_dir():
        raise CliError(
            f"{series!r} cannot be a file in {folder}", code="bad-file", remedy="Choose another --out folder."
        )
    return target


async def _append(blobs: Blobs, name: str, part: Part, file: BinaryIO, on_bytes: Callable[[int], None]) -> bool:
    """Whether the part came as the outcome says; if not, the file is as it was before."""
    start = file.tell()
    found = 0
    try:
        async for chunk in blobs.stream(name, part.etag):
            found = combine(found, crc64([chunk]), len(chunk))
            await asyncio.to_thread(file.write, chunk)
            on_bytes(len(chunk))
    except BlobChanged:
        found = -1
    if file.tell() - start == part.bytes and found >= 0 and hex16(found) == part.crc64:
        return True
    file.seek(start)
    file.truncate()
    return False


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _is_right(target: Path, series: SeriesResult) -> bool:
    if target.is_symlink() or not target.is_file() or target.stat().st_size != series.bytes:
        return False
    with target.open("rb") as file:
        return _verified_parts(file, series.parts) == len(series.parts)


def _verified_parts(file: BinaryIO, parts: Sequence[Part]) -> int:
    """How many whole parts the file starts with; it is cut and positioned behind them when it can be written."""
    file.seek(0)
    done = 0
    for part in parts:
        start = file.tell()
        if hex16(crc64(_pieces(file, part.bytes))) != part.crc64 or file.tell() - start != part.bytes:
            file.seek(start)
            break
        done += 1
    if file.writable():
        file.truncate()
    return done


def _pieces(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (piece := file.read(min(length, _READ_BYTES))):
        length -= len(piece)
        yield piece


@contextmanager
def _only_writer(partial: Path) -> Iterator[BinaryIO]:
    """The file, locked for as long as this process writes it: two runs would mix their bytes."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    with os.fdopen(os.open(partial, flags, 0o666), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(
                f"{partial} is being written by another fetch",
                code="busy",
                remedy="Wait for it, or choose another --out folder.",
                exit_code=EXIT_NOT_READY,
            ) from None
        yield file


def mismatch(fetched: Sequence[Fetched]) -> CliError | None:
    """What is wrong with the series, if anything is."""
    wrong = [each.series_type for each in fetched if not each.ok]
    if not wrong:
        return None
    return CliError(
        f"Bytes differ from what the outcome says: {', '.join(wrong)}",
        code="mismatch",
        remedy="Fetch again; if it stays, somebody has changed the blobs after the outcome.",
        exit_code=EXIT_DATA_WRONG,
    )
