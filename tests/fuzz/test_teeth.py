"""A target that cannot fail is worth nothing: with a bug planted, each finds it."""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from pamqp import decode

from bridge import amqp_message, header_body, unreadable
from bridge.amqp_connection import AmqpConnection
from bridge.durations import duration_s
from bridge.frames import FrameReader
from streams import commands, outcome, recovery
from tables import tiling
from tests.fuzz import requests
from tests.fuzz.mutate import mutated
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

TRIES_MAX = 4_000
Plant = Callable[[pytest.MonkeyPatch], None]


def _table_of_the_library(value: bytes) -> tuple[int, dict[str, Any]]:
    try:
        return decode.field_table(value)
    except RecursionError:
        raise ValueError from None


def _body_of_any_length(self: FrameReader, channel: int, size: int) -> None:
    if self._body is None:
        raise AssertionError("no body")
    self._start += 7
    self._frame_left = size
    self._end_due = True


def _answer(self: AmqpConnection, method: Any) -> bool:
    self._reply.set_result(method)  # type: ignore[union-attr]
    return True


def _inflated(text: str, _: int) -> bytes:
    return zlib.decompress(b64decode(text), -zlib.MAX_WBITS)


PLANTED: dict[str, Plant] = {
    "amqp-envelope": lambda patch: patch.setattr(amqp_message, "read_table", _table_of_the_library),
    "header-body": lambda patch: patch.setattr(header_body, "_bounded", lambda literal: literal),
    "frames": lambda patch: patch.setattr(FrameReader, "_begin_body_frame", _body_of_any_length),
    "lane": lambda patch: patch.setattr(AmqpConnection, "answer", _answer),
    "events": lambda patch: patch.setattr(unreadable, "UNREADABLE", msgspec.DecodeError),
    "rows": lambda patch: patch.setattr(recovery, "Unreadable", ZeroDivisionError),
    "effects": lambda patch: patch.setattr(tiling, "_inflated", _inflated),
    "outcome": lambda patch: patch.setattr(outcome, "_check_time", lambda _: None),
    "records": lambda patch: patch.setattr(unreadable, "UNREADABLE", msgspec.ValidationError),
    "audience": lambda patch: patch.setattr(unreadable, "UNREADABLE", msgspec.DecodeError),
    "names": lambda patch: patch.setattr(tiling, "_inflated", _inflated),
    "command": lambda patch: patch.setattr(commands, "limit_s", duration_s),
    "duration": lambda patch: patch.setattr(requests, "limit_s", duration_s),
}


def inputs(target: Target) -> Iterator[bytes]:
    corpus, random = target.corpus(), Random(1)
    yield from corpus
    while True:
        yield mutated(target, random.choice(corpus), corpus, random)


def test_every_target_has_its_bug() -> None:
    assert set(PLANTED) == set(TARGETS)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[name](monkeypatch)
    for _, data in zip(range(TRIES_MAX), inputs(TARGETS[name]), strict=False):
        try:
            TARGETS[name].check(data)
        except Exception:
            return
    raise AssertionError(f"{name} does not see its bug in {TRIES_MAX} inputs")
