"""Every decoder on everything that was ever worth keeping, on damage to it, and on odd values in every place."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.kafka import SPLIT
from tests.fuzz.mutate import mutated, swept
from tests.fuzz.target import CORPUS, Target, TooMuchMemoryError
from tests.fuzz.targets import TARGETS

targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@targets
def test_the_corpus_is_read(target: Target) -> None:
    for data in target.corpus():
        target.check(data)


@targets
@given(seed=st.integers(0, (1 << 32) - 1))
@settings(max_examples=40)
def test_damage_is_told_by_the_documented_error(target: Target, seed: int) -> None:
    random, corpus = Random(seed), target.corpus()
    target.check(mutated(target, random.choice(corpus), corpus, random))


@targets
@given(data=st.binary(max_size=200))
@settings(max_examples=40)
def test_so_is_anything_else(target: Target, data: bytes) -> None:
    target.check(data)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.json])
def test_any_value_may_stand_in_any_place(name: str) -> None:
    target = TARGETS[name]
    for start, seed in enumerate(target.seeds()):
        for at, part in enumerate(parts := seed.split(SPLIT)):
            for odd in swept(part, (start + at) % target.every, target.every):
                target.run(SPLIT.join([*parts[:at], odd, *parts[at + 1 :]]))


def test_the_corpus_belongs_to_targets() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= set(TARGETS)


def test_memory_is_measured() -> None:
    hoarder = Target("hoarder", lambda data: bytearray(len(data) << 10) and None, list, base_bytes=1 << 20)
    hoarder.check(b"x")
    with pytest.raises(TooMuchMemoryError):
        hoarder.check(b"x" * 9_000)
