"""One series of a result as a file to read from, with azure-storage-blob; nothing of it is held but one chunk.

    BRH_BLOB_CONNECTION_STRING=... python series_stream.py T1 cashflows > cashflows.csv

The outcome names the parts, in order: together they are the series. Parts end where payloads end, not where lines or
rows do, so whoever parses reads the stream and not single parts. Each part is read with its ETag as a condition, and
its length and CRC-64 are compared with the outcome: a blob that somebody has changed since is an error, not data.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator

from awscrt.checksums import crc64nvme
from azure.core import MatchConditions
from azure.storage.blob import BlobServiceClient, ContainerClient

CHUNK_BYTES = 4 << 20


def container() -> ContainerClient:
    """The results; elsewhere than in a test: BlobServiceClient(account_url, DefaultAzureCredential())."""
    service = BlobServiceClient.from_connection_string(
        os.environ["BRH_BLOB_CONNECTION_STRING"], max_chunk_get_size=CHUNK_BYTES, max_single_get_size=CHUNK_BYTES
    )
    return service.get_container_client(os.environ.get("BRH_BLOB_CONTAINER", "results"))


class SeriesStream(io.RawIOBase):
    """The bytes of a series in order. Reading raises ValueError for a part that is not what the outcome says."""

    def __init__(self, results: ContainerClient, transaction: str, series: str) -> None:
        outcome = json.loads(results.download_blob(f"{transaction}/_outcome.json").readall())
        if outcome["outcome"] != "Completed":
            raise ValueError(f"{transaction} is {outcome['outcome']}: {outcome['problem']['detail']}")
        (found,) = (each for each in outcome["series"] if each["seriesType"] == series)
        self.partial = outcome["partial"]
        self._pieces = self._read_parts(results, found["parts"])
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self._left:
            try:
                self._left = next(self._pieces)
            except StopIteration:
                return 0
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)

    @staticmethod
    def _read_parts(results: ContainerClient, parts: list[dict]) -> Iterator[bytes]:
        for part in parts:
            size, crc = 0, 0
            if part["bytes"]:
                name = part["uri"].partition(f"/{results.container_name}/")[2]
                same = {"etag": part["etag"], "match_condition": MatchConditions.IfNotModified}
                for piece in results.download_blob(name, **same).chunks():
                    size, crc = size + len(piece), crc64nvme(piece, crc)
                    yield piece
            if (size, f"{crc:016x}") != (part["bytes"], part["crc64"]):
                raise ValueError(f"{part['uri']} has other bytes than its outcome says")


def opened(transaction: str, series: str) -> io.BufferedReader:
    """The series, buffered, for anything that reads files."""
    return io.BufferedReader(SeriesStream(container(), transaction, series), CHUNK_BYTES)


if __name__ == "__main__":
    with opened(*sys.argv[1:]) as stream:
        shutil.copyfileobj(stream, sys.stdout.buffer)
