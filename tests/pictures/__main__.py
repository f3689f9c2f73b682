"""`python -m tests.pictures`: take the pictures of the pages that the documents show. Needs pngquant."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from streams.partition import Partition
from tables.projection import view
from tables.transaction import FINAL
from tests.pictures.invented import WAITING, evening, hurry, lately
from tests.rules.http_trackers import TOPICS, two_trackers
from tests.support.browser import window

FOLDER = Path("docs/images")
MADE_OF = FOLDER / "made-of.txt"
"""Digest of what the pages were made of when the pictures were taken."""
SOURCES = (
    "streams/pages/**/*",
    "streams/explained.py",
    "streams/recent.py",
    "tables/explain.py",
    "tests/pictures/*.py",
)
BYTES_MAX = 150_000
SHOTS: dict[str, tuple[str, str]] = {
    "overview": ("/", "light"),
    "transaction": (f"/transactions/{WAITING}", "light"),
    "explain": (f"/transactions/{WAITING}/explain", "light"),
    "transaction-dark": (f"/transactions/{WAITING}", "dark"),
    "ordinals": (f"/transactions/{WAITING}/series/cashflows?first=250001&last=500000", "light"),
}


async def _take() -> None:
    now, dice = datetime.now(UTC), random.Random(11)
    known = {each.id: each for each in evening(now)}

    def row(name: str) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view(known[name])))
        return shown

    async with two_trackers([*known], row, row) as trackers:
        for number, tracker in enumerate(trackers):
            tracker.partitions.update({each: Partition() for each in range(number, TOPICS.partitions, 2)})
            tracker.known.update(known)
        for each in known.values():
            number = TOPICS.partition_of(each.id)
            partition = trackers[number % 2].partitions[number]
            partition.put(each)
            if each.state in FINAL:
                partition.close(each, now)
            if each.id == WAITING:
                lately(partition, each, now)
        for name, (path, scheme) in SHOTS.items():
            async with window(color_scheme=scheme, viewport={"width": 1200, "height": 760}) as watched:
                for tracker in trackers:
                    for partition in tracker.partitions.values():
                        hurry(partition, dice)
                await watched.page.goto(trackers[0].url + path)
                await watched.page.evaluate("document.fonts.ready.then(() => null)")
                await watched.page.screenshot(path=FOLDER / f"{name}.png", full_page=True)


def _make_small() -> None:
    for name in SHOTS:
        file = FOLDER / f"{name}.png"
        subprocess.run(
            ["pngquant", "--force", "--speed", "1", "--strip", "--quality", "70-95", "--output", file, file], check=True
        )
        assert file.stat().st_size < BYTES_MAX, f"{file} has {file.stat().st_size} bytes"
        print(f"{file}: {file.stat().st_size // 1000} kB")


def sources_digest(root: Path) -> str:
    """Of all files that say what the pages look like."""
    files = sorted({file for pattern in SOURCES for file in root.glob(pattern) if _is_source(file)})
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


def _is_source(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    asyncio.run(_take())
    _make_small()
    MADE_OF.write_text(sources_digest(Path()) + "\n")
