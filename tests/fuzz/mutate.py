"""Damage to inputs: to their bytes, and where they are JSON to their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Final

from tests.fuzz.target import Target

STEPS_MAX: Final = 4
REPEATED_MAX: Final = 2_000
"""Copies of a piece: enough to nest beyond every limit."""

SWEPT_MAX: Final = 400
"""Values in a record that is swept; one with more has the same ones again and again."""

NUMBERS: Final = (0, 1, -1, 2, 255, 256, 1_000_000, 1_000_001, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 1.5, -0.0, 1e308)
TEXTS: Final = (
    "", "a", "..", "a..b", "/", "T1", "2026-01-31T12:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z",
    "2026-01-31T12:00:00", "PT1S", "P6D", "0" * 16, "f" * 16, "f" * 32, "\0", "\ud800", "é" * 70, "x" * 300,
)  # fmt: skip
OTHERS: Final[tuple[Any, ...]] = (
    None, True, False, [], {}, [1], [[1, 1]], [[2, 1]], [[0, 10**9]], {"a": 1}, {"a": [[1, 2]]}, [{}],
)  # fmt: skip
BYTES: Final = (b"\0", b"\xff", b"\x80", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\u0000", b"\xed\xa0\x80")


def mutated(target: Target, data: bytes, corpus: Sequence[bytes], random: Random) -> bytes:
    """Another input, a few steps away."""
    for _ in range(random.randint(1, STEPS_MAX)):
        if target.json and random.random() < 0.7:
            data = _value_changed(data, random)
        else:
            data = random.choice(_BYTE_STEPS)(data, random, target, corpus)
    return data


_Step = Callable[[bytes, Random, Target, Sequence[bytes]], bytes]


def _flip(data: bytes, random: Random, target: Target, corpus: Sequence[bytes]) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.randint(1, 4)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _cut(data: bytes, random: Random, target: Target, corpus: Sequence[bytes]) -> bytes:
    start, end = sorted(random.choices(range(len(data) + 1), k=2))
    return data[:start] + data[end:]


def _insert(data: bytes, random: Random, target: Target, corpus: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(data))
    piece = random.choice((*BYTES, *target.tokens))
    return data[:at] + piece + data[at:]


def _repeat(data: bytes, random: Random, target: Target, corpus: Sequence[bytes]) -> bytes:
    start, end = sorted(random.choices(range(len(data) + 1), k=2))
    copies = random.choice((1, 2, 20, REPEATED_MAX)) if end - start < 64 else 1
    return data[:end] + data[start:end] * copies + data[end:]


def _splice(data: bytes, random: Random, target: Target, corpus: Sequence[bytes]) -> bytes:
    other = random.choice(corpus) if corpus else b""
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


_BYTE_STEPS: Final[tuple[_Step, ...]] = (_flip, _flip, _cut, _insert, _insert, _repeat, _splice)


def _value_changed(data: bytes, random: Random) -> bytes:
    """The same JSON with one value, member or element changed; other bytes where it is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data + random.choice(BYTES)
    places = list(_places(value))
    if not places or random.random() < 0.05:
        return _encoded(_invented(random))
    holder, key = random.choice(places)
    action = random.random()
    if action < 0.6:
        holder[key] = _invented(random)
    elif action < 0.75:
        del holder[key]
    elif action < 0.9 and isinstance(holder, list):
        holder.extend([holder[key]] * random.choice((1, 2, 300)))
    elif isinstance(holder, dict):
        holder[random.choice(("v", "type", "kind", "added", str(key) + "x"))] = random.choice((2, holder[key], None))
    else:
        other, name = random.choice(places)
        holder[key] = other[name]
    try:
        return _encoded(value)
    except (ValueError, RecursionError):  # a value within itself
        return data


def swept(data: bytes, first: int = 0, every: int = 1) -> Iterator[bytes]:
    """The JSON once for each value within it and each odd value in its place; nothing where it is none.

    With `every` only one in so many, beginning with the `first`.
    """
    try:
        places = len(_places(json.loads(data)))
    except (ValueError, RecursionError):
        return
    if places > SWEPT_MAX:
        return
    odds = (*NUMBERS, *TEXTS, *OTHERS)
    for number in range(first, places * len(odds), every):
        value = json.loads(data)
        holder, key = _places(value)[number // len(odds)]
        holder[key] = odds[number % len(odds)]
        yield _encoded(value)


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            inner = list(one.items() if isinstance(one, dict) else enumerate(one))
            found += [(one, key) for key, _ in inner]
            waiting += [each for _, each in inner]
    return found


def _invented(random: Random) -> Any:
    kind = random.random()
    if kind < 0.35:
        return random.choice(NUMBERS)
    if kind < 0.7:
        return random.choice(TEXTS)
    return random.choice(OTHERS)


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()
