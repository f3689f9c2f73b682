"""Downloads: right or said to be wrong, resumed, and never outside the folder."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from bridge.blobs import BlobsError, BlobsRefused, BlobsUnavailable
from bridge.checksums import crc64, hex16
from bridge.contract.outbound import Outcome, OutcomeTimestamps, Part, Problem, SeriesResult
from bridge.memory_blobs import MemoryBlobs
from streams.cli import brh
from streams.cli.download import fetch_series, target_of
from streams.cli.errors import CliError

BODIES = [b"first part", b"second", b"and the third"]


class Counting(MemoryBlobs):
    """Remembers what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.streamed: list[str] = []

    async def __aenter__(self) -> Counting:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def stream(self, name: str, etag: str, **options: Any) -> Any:
        self.streamed.append(name.rpartition("/")[2])
        return super().stream(name, etag, **options)


async def stored(blobs: MemoryBlobs, bodies: list[bytes] = BODIES, series: str = "a") -> SeriesResult:
    parts = []
    for number, body in enumerate(bodies):
        name = f"T1/{series}/part-{number:05d}"
        written = await blobs.write_once(name, body, content_type="text/plain", metadata={})
        etag = written.etag
        parts.append(Part(uri=blobs.uri(name), bytes=len(body), etag=etag, crc64=hex16(crc64([body]))))
    return SeriesResult(series, 3, sum(map(len, bodies)), None, tuple(parts))


def ignored(_: int) -> None:
    pass


async def test_the_parts_in_order_are_the_file(tmp_path: Path) -> None:
    blobs = Counting()
    told: list[int] = []
    fetched = await fetch_series(blobs, "T1", await stored(blobs), tmp_path, told.append)
    assert (fetched.ok, fetched.file, fetched.bytes) == (True, str(tmp_path / "a"), 29)
    assert (tmp_path / "a").read_bytes() == b"".join(BODIES)
    assert os.listdir(tmp_path) == ["a"]
    assert sum(told) == 29


async def test_what_is_there_and_right_is_not_read_again(tmp_path: Path) -> None:
    blobs = Counting()
    (tmp_path / "a").write_bytes(b"".join(BODIES))
    fetched = await fetch_series(blobs, "T1", await stored(blobs), tmp_path, ignored)
    assert fetched.ok
    assert blobs.streamed == []


async def test_what_is_there_and_wrong_is_replaced(tmp_path: Path) -> None:
    blobs = Counting()
    (tmp_path / "a").write_bytes(b"".join(BODIES).replace(b"third", b"fourt"))
    fetched = await fetch_series(blobs, "T1", await stored(blobs), tmp_path, ignored)
    assert fetched.ok
    assert (tmp_path / "a").read_bytes() == b"".join(BODIES)


@pytest.mark.parametrize("length", [0, 5, 10, 12, 16, 20, 29])
async def test_a_second_run_goes_on_behind_the_last_whole_part(tmp_path: Path, length: int) -> None:
    blobs = Counting()
    (tmp_path / ".a.partial").write_bytes(b"".join(BODIES)[:length])
    fetched = await fetch_series(blobs, "T1", await stored(blobs), tmp_path, ignored)
    whole = sum(length >= end for end in (10, 16, 29))
    assert blobs.streamed == [f"part-{number:05d}" for number in range(whole, 3)]
    assert fetched.ok
    assert (tmp_path / "a").read_bytes() == b"".join(BODIES)


async def test_garbage_behind_whole_parts_is_cut_off(tmp_path: Path) -> None:
    blobs = Counting()
    (tmp_path / ".a.partial").write_bytes(b"".join(BODIES) + b"more")
    assert (await fetch_series(blobs, "T1", await stored(blobs), tmp_path, ignored)).ok
    assert (tmp_path / "a").read_bytes() == b"".join(BODIES)


@pytest.mark.parametrize("wrong", ["etag", "crc64", "bytes"])
async def test_other_bytes_than_the_outcome_says_get_no_name(tmp_path: Path, wrong: str) -> None:
    blobs = Counting()
    series = await stored(blobs)
    lie: Any = {"etag": "other", "crc64": "0" * 16, "bytes": 7}[wrong]
    parts = (series.parts[0], msgspec.structs.replace(series.parts[1], **{wrong: lie}), series.parts[2])
    fetched = await fetch_series(blobs, "T1", msgspec.structs.replace(series, parts=parts), tmp_path, ignored)
    assert not fetched.ok
    assert not (tmp_path / "a").exists()
    assert (tmp_path / ".a.partial").read_bytes() == BODIES[0], "what was right is kept for the next run"


async def test_a_total_that_is_not_the_sum_of_the_parts_is_wrong(tmp_path: Path) -> None:
    blobs = Counting()
    series = msgspec.structs.replace(await stored(blobs), bytes=30)
    assert not (await fetch_series(blobs, "T1", series, tmp_path, ignored)).ok
    assert not (tmp_path / "a").exists()


async def test_an_empty_series_is_an_empty_file(tmp_path: Path) -> None:
    blobs = Counting()
    fetched = await fetch_series(blobs, "T1", await stored(blobs, [b""]), tmp_path, ignored)
    assert fetched.ok
    assert (tmp_path / "a").read_bytes() == b""


async def test_a_series_never_heard_of_has_no_file(tmp_path: Path) -> None:
    fetched = await fetch_series(Counting(), "T1", SeriesResult("a", None, 0, None, ()), tmp_path, ignored)
    assert (fetched.ok, fetched.file, os.listdir(tmp_path)) == (True, None, [])


async def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    blobs = Counting()
    series = await stored(blobs)
    with (tmp_path / ".a.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CliError) as caught:
            await fetch_series(blobs, "T1", series, tmp_path, ignored)
    assert caught.value.code == "busy"


async def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    blobs = Counting()
    outside = tmp_path / "outside"
    outside.write_bytes(b"kept")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a").symlink_to(outside)
    assert (await fetch_series(blobs, "T1", await stored(blobs), folder, ignored)).ok
    assert outside.read_bytes() == b"kept"


@pytest.mark.parametrize("name", ["..", ".", "../a", "a/b", "/etc/passwd", ".a.partial", ""])
def test_a_series_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(CliError) as caught:
        target_of(tmp_path, name)
    assert caught.value.code == "bad-file"


def outcome(kind: Any, series: tuple[SeriesResult, ...] = ()) -> bytes:
    problem = Problem("timeout", "Too late", "Nothing came.", "await", "T") if kind != "Completed" else None
    times = OutcomeTimestamps(None, None, "2026-01-31T12:00:00.000Z")
    return msgspec.json.encode(Outcome("T1", "default", kind, False, "uri", series, problem, times))


@pytest.fixture
def blobs(monkeypatch: pytest.MonkeyPatch) -> Counting:
    made = Counting()
    monkeypatch.setattr("streams.cli.fetch.AzureBlobs", lambda _: made)
    monkeypatch.setenv("BRH_API_URL", "http://127.0.0.1:1")
    return made


async def _put(blobs: MemoryBlobs, body: bytes) -> None:
    await blobs.write_once("T1/_outcome.json", body, content_type="application/json", metadata={})


def run(blobs: Counting, body: bytes | None, folder: Path, *options: str) -> Any:
    if body is not None:
        asyncio.run(_put(blobs, body))
    return CliRunner().invoke(brh, ["fetch", "T1", "--out", str(folder), *options])


def test_a_completed_result_is_fetched(blobs: Counting, tmp_path: Path) -> None:
    series = asyncio.run(stored(blobs))
    result = run(blobs, outcome("Completed", (series,)), tmp_path / "new" / "out", "--json")
    assert result.exit_code == 0
    file = tmp_path / "new" / "out" / "a"
    assert json.loads(result.stdout) == {"series": [{"seriesType": "a", "file": str(file), "bytes": 29, "ok": True}]}
    assert file.read_bytes() == b"".join(BODIES)


def test_a_mismatch_is_exit_code_5(blobs: Counting, tmp_path: Path) -> None:
    series = asyncio.run(stored(blobs))
    lie = msgspec.structs.replace(series.parts[0], crc64="0" * 16)
    wrong = msgspec.structs.replace(series, parts=(lie, *series.parts[1:]))
    result = run(blobs, outcome("Completed", (wrong,)), tmp_path, "--json")
    assert result.exit_code == 5
    assert "(mismatch)" in result.stderr
    assert json.loads(result.stdout)["series"][0]["ok"] is False


@pytest.mark.parametrize("kind", ["Failed", "Abandoned"])
def test_there_is_nothing_to_fetch_of_what_did_not_complete(blobs: Counting, tmp_path: Path, kind: str) -> None:
    result = run(blobs, outcome(kind), tmp_path / "out")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Nothing came (timeout)" in result.stderr
    assert not (tmp_path / "out").exists()


def test_without_an_outcome_it_is_not_ready(blobs: Counting, tmp_path: Path) -> None:
    result = run(blobs, None, tmp_path / "out")
    assert result.exit_code == 4
    assert "(no-outcome)" in result.stderr
    assert "brh wait T1" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_failure_without_a_reason_has_a_code_all_the_same(blobs: Counting, tmp_path: Path) -> None:
    body = json.dumps(json.loads(outcome("Failed")) | {"problem": None}).encode()
    result = run(blobs, body, tmp_path / "out")
    assert (result.exit_code, "no reason is known (unknown)" in result.stderr) == (1, True)


def test_an_outcome_of_another_release_is_not_guessed_at(blobs: Counting, tmp_path: Path) -> None:
    body = json.dumps(json.loads(outcome("Completed")) | {"v": 2}).encode()
    result = run(blobs, body, tmp_path / "out")
    assert (result.exit_code, "(record-unreadable)" in result.stderr) == (5, True)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(blobs: Counting, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    result = run(blobs, outcome("Completed"), tmp_path / "taken" / "out")
    assert (result.exit_code, "(file)" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [(BlobsUnavailable("away"), 4, "(blobs-unavailable)"), (BlobsRefused("no"), 1, "(blobs-refused)")],
)
def test_storage_that_may_come_back_is_told_from_settings_that_are_wrong(
    blobs: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BlobsError, exit_code: int, code: str
) -> None:
    async def read(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(blobs, "read", read)
    result = run(blobs, None, tmp_path)
    assert (result.exit_code, code in result.stderr) == (exit_code, True)
