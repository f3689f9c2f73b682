"""Facts decode when they are what this version knows, and are refused otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from playbook import START, T1, payload, run

from bridge.contract.events import PayloadsStaged, Staged, decode, encode
from bridge.runs import RUN_MAX_BYTES, RUN_PAYLOAD_MAX_BYTES
from tables import effects

LARGEST = RUN_PAYLOAD_MAX_BYTES - 1
FOUND = Staged("a", 5, 4, 9, (), (), ("0" * 16,), RUN_MAX_BYTES)
WHOLE = Staged("a", 1, 256, 256, (LARGEST,) * 256, ("0123456789abcdef",) * 256, ("0" * 16,))


def with_staged(plain: Any) -> bytes:
    event = msgspec.to_builtins(PayloadsStaged(T1, (payload("a", 1, of=1),), START))
    return msgspec.json.encode({**event, "staged": [plain]})


@pytest.mark.parametrize(
    "fact",
    [
        payload("a", 3, of=3),
        payload("a", 1, of=3, body=""),
        payload("a", 1, of=3, body="xyz"),
        run("a", 1, "x", "", of=2),
        run("a", 5, "x", "y", "", "", of=8),
        WHOLE,
        FOUND,
    ],
    ids=["payload", "empty", "of three blocks", "run of two", "run of four", "run of 256", "run that was found"],
)
def test_a_fact_reads_back(fact: Staged) -> None:
    event = PayloadsStaged(T1, (fact,), START)
    assert decode(encode(event)) == event


def changed(fact: Staged, **members: Any) -> Any:
    plain: dict[str, Any] = msgspec.to_builtins(fact)
    return plain | members


TWO = run("a", 3, "x", "y", of=4)
CRC = "0" * 16


@pytest.mark.parametrize(
    "plain",
    [
        changed(TWO, first=2),
        changed(TWO, first=4),
        changed(TWO, totalCount=3),
        changed(TWO, count=0),
        changed(TWO, count=1),
        changed(TWO, count=3, first=4, totalCount=9, sizes=[1] * 3, crc64s=[CRC] * 3),
        changed(TWO, count=512, first=1, totalCount=512, sizes=[1] * 512, crc64s=[CRC] * 512),
        changed(TWO, sizes=[1]),
        changed(TWO, sizes=[1, 1, 1]),
        changed(TWO, crc64s=[CRC]),
        changed(TWO, crc64s=[CRC, "0" * 15]),
        changed(TWO, blocks=[]),
        changed(TWO, blocks=[CRC, CRC]),
        changed(TWO, sizes=[0, 0]),
        changed(TWO, sizes=[0, 0], blocks=[]),
        changed(TWO, sizes=[-1, 2]),
        changed(TWO, sizes=[1, RUN_PAYLOAD_MAX_BYTES]),
        changed(payload("a", 1, of=1), blocks=[]),
        changed(payload("a", 1, of=1), first=2),
        changed(TWO, runBytes=2),
        changed(payload("a", 1, of=1), runBytes=1),
        changed(FOUND, count=1),
        changed(FOUND, sizes=[1, 1, 1, 1]),
        changed(FOUND, crc64s=[CRC] * 4),
        changed(FOUND, blocks=[CRC, CRC]),
        changed(FOUND, blocks=[]),
        changed(FOUND, first=2),
        changed(FOUND, totalCount=7),
        changed(FOUND, runBytes=0),
        changed(FOUND, runBytes=-1),
        changed(FOUND, runBytes=RUN_MAX_BYTES + 1),
    ],
    ids=[
        "not aligned", "beyond the total", "a total too small", "no ordinal", "more sizes than ordinals",
        "no power of two", "more than 256", "a size too few", "a size too many", "a checksum too few", "a bad checksum",
        "no block", "two blocks", "all empty", "all empty without a block", "a negative size", "a payload too large",
        "a payload without a block", "a payload beyond the total", "sizes and bytes", "a payload with bytes of its own",
        "found, and one ordinal", "found, with sizes", "found, with checksums", "found, with two blocks",
        "found, without a block", "found, not aligned", "found, beyond the total", "found, without bytes",
        "found, with negative bytes", "found, too large",
    ],
)  # fmt: skip
def test_what_cannot_have_been_staged_is_refused(plain: Any) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(with_staged(plain))


def test_what_these_were_made_from_is_not_refused() -> None:
    assert decode(with_staged(changed(TWO))) == PayloadsStaged(T1, (TWO,), START)


@pytest.mark.parametrize("value", [b'{"type":"Told","transaction":"\xff"', b'{"type":"Tick","x":' + b"[" * 100_000])
@pytest.mark.parametrize("read", [decode, effects.decode])
def test_every_record_that_cannot_be_read_is_one_error(read: Callable[[bytes], Any], value: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(value)
