"""What a producer sends: where payloads come from, in which order, and as which messages."""

from __future__ import annotations

import hashlib
import json
import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import aio_pika

from bridge.contract.inbound import (
    HEADER_TYPE,
    PAYLOAD_MAX_BYTES,
    PAYLOAD_TYPE,
    SERIES_MAX,
    TOTAL_COUNT_MAX,
    is_series_type,
    is_transaction_id,
    is_transaction_type,
)
from bridge.quoting import quoted
from streams.cli.errors import EXIT_USAGE, CliError

_INT64_MAX: Final = (1 << 63) - 1


class Source(Protocol):
    """Where the payloads of one series come from."""

    @property
    def size(self) -> int:
        """Bytes of all payloads together."""
        ...

    @property
    def total_count(self) -> int:
        """How many payloads there are; 0 for an empty series."""
        ...

    def chunk(self, ordinal: int) -> bytes:
        """The payload with an ordinal from 1 to `total_count`. Called in any order, more than once, from threads."""
        ...


class FileSource:
    """A file, cut into chunks of one size; the last one may be shorter. An empty file is an empty series."""

    def __init__(self, path: Path, chunk_bytes: int) -> None:
        """Raises OSError when the file cannot be looked up."""
        self._path = path
        self._chunk_bytes = chunk_bytes
        self.size = path.stat().st_size
        self.total_count = -(-self.size // chunk_bytes)

    def chunk(self, ordinal: int) -> bytes:
        """Raises OSError, and CliError when the file is shorter than it was."""
        start = (ordinal - 1) * self._chunk_bytes
        length = min(self._chunk_bytes, self.size - start)
        with self._path.open("rb") as file:
            file.seek(start)
            body = file.read(length)
        if len(body) != length:
            message = f"{self._path} became shorter while it was sent"
            raise CliError(message, code="source-changed", remedy="Send a file that nobody writes to.")
        return body


class Int64(int):
    """An integer that is written into an AMQP table as 64 bits.

    pamqp takes the narrowest type that holds the value, and some clients misread those: int8 headers are null to one
    and a Byte to another. It asks `value <= maximum of the type`, from narrow to wide; so only the widest says yes.
    """

    def __le__(self, other: int) -> bool:
        return other >= _INT64_MAX and int.__le__(self, other)


class Payload(NamedTuple):
    """One payload message to be sent."""

    series: str
    ordinal: int
    copy: int
    """1, or 2 for a duplicate."""


def check(transaction: str, transaction_type: str, series: Mapping[str, Source], duplicates: float = 0.0) -> None:
    """Raises CliError (exit code 2) when the contract forbids to send this."""
    wrong = None
    if not is_transaction_id(transaction):
        wrong = f"{quoted(transaction)} is no transaction id", "Use 1 to 128 of A-Z a-z 0-9 . _ - and no `..`."
    elif not is_transaction_type(transaction_type):
        wrong = f"{quoted(transaction_type)} is no transaction type", "Use up to 63 of A-Z a-z 0-9 _ -."
    elif not 1 <= len(series) <= SERIES_MAX:
        wrong = f"{len(series)} series are not within 1 to {SERIES_MAX}", "Split the result into several transactions."
    elif not 0 <= duplicates <= 1:
        wrong = f"a share of {duplicates} duplicates is not within 0 to 1", "Choose another one."
    for name, source in series.items():
        if not is_series_type(name):
            wrong = f"{quoted(name)} is no series type", "Use 1 to 63 of A-Z a-z 0-9 . _ - and no `..`."
        elif source.total_count > TOTAL_COUNT_MAX:
            wrong = (
                f"series {name} has {source.total_count} payloads, more than {TOTAL_COUNT_MAX}",
                "Use larger chunks.",
            )
    if wrong:
        raise CliError(wrong[0], code="contract", remedy=wrong[1], exit_code=EXIT_USAGE)


def plan(
    counts: Mapping[str, int],
    shuffle: int | None,
    duplicates: float,
    only: Mapping[str, Sequence[Sequence[int]]] | None = None,
) -> array[int]:
    """Numbers of the payloads over all series, from 0, in the order of sending; a duplicate occurs twice.

    `only`: inclusive ranges of the ordinals to send of each series; None: all.
    """
    chance = random.Random(shuffle or 0)  # noqa: S311  # the same seed must send the same order
    order = array("q")
    for start, (name, count) in zip(_starts(counts), counts.items(), strict=False):
        for first, last in [(1, count)] if only is None else only.get(name, ()):
            order.extend(range(start + first - 1, start + last))
    order.extend(chance.sample(order, round(duplicates * len(order))))
    if shuffle is not None:
        chance.shuffle(order)
    return order


def _starts(counts: Mapping[str, int]) -> list[int]:
    """The number of each series' first payload, and how many payloads there are."""
    return [0, *accumulate(counts.values())]


def payloads(order: array[int], counts: Mapping[str, int]) -> Iterator[Payload]:
    """The payloads with these numbers."""
    names = list(counts)
    starts = _starts(counts)
    sent = bytearray(starts[-1])
    for number in order:
        # An empty series starts where the next one does: the rightmost start is the one that has payloads.
        at = bisect_right(starts, number) - 1
        yield Payload(names[at], number - starts[at] + 1, sent[number] + 1)
        sent[number] = 1


def header_message(transaction: str, transaction_type: str, counts: Mapping[str, int]) -> aio_pika.Message:
    """The header that announces these series; what `check` lets through is not too large for one."""
    series = [{"type": name, "totalCount": count} for name, count in counts.items()]
    body = json.dumps({"transactionType": transaction_type, "series": series}).encode()
    return aio_pika.Message(
        body,
        type=HEADER_TYPE,
        content_type="application/json",
        correlation_id=transaction,
        message_id=f"{transaction}/header",
        app_id="brh-send",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def payload_message(transaction: str, payload: Payload, total_count: int, body: bytes) -> aio_pika.Message:
    """A payload as the contract wants it, with the two optional headers that let the bridge verify it.

    Raises CliError when it is too large.
    """
    if len(body) > PAYLOAD_MAX_BYTES:
        message = f"ordinal {payload.ordinal} of {payload.series} has {len(body)} bytes"
        remedy = f"The contract allows {PAYLOAD_MAX_BYTES}: use smaller chunks."
        raise CliError(message, code="contract", remedy=remedy, exit_code=EXIT_USAGE)
    suffix = f"#{payload.copy}" if payload.copy > 1 else ""
    return aio_pika.Message(
        body,
        type=PAYLOAD_TYPE,
        correlation_id=transaction,
        # Unique, because returned messages are told apart by it; the bridge reports it with a rejection.
        message_id=f"{transaction}/{payload.series}/{payload.ordinal}{suffix}",
        app_id="brh-send",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers={
            "brh_series_type": payload.series,
            "brh_ordinal": Int64(payload.ordinal),
            "brh_total_count": Int64(total_count),
            "brh_content_length": Int64(len(body)),
            "brh_sha256": hashlib.sha256(body).hexdigest(),
        },
    )
