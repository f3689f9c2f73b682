"""`python -m tests.fuzz TARGET --seconds N`: look for inputs that a decoder does not expect.

With `atheris` (`requirements/fuzz.txt`) the search is led by coverage; without it inputs of the corpus are damaged at
random. What is found is printed, kept in the corpus, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from tests.fuzz.kafka import SPLIT
from tests.fuzz.mutate import mutated, swept
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

INPUT_MAX_BYTES = 1 << 16


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--blind", action="store_true", help="without atheris, even where it is installed")
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    targets = list(TARGETS.values()) if chosen.target == "all" else [TARGETS[chosen.target]]
    search = _blind if chosen.blind or not _has_atheris() else _led
    return max(search(target, chosen.seconds, chosen.seed) for target in targets)


def _has_atheris() -> bool:
    try:
        import atheris  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return False
    return bool(atheris)


def _blind(target: Target, seconds: float, seed: int) -> int:
    end, tries = time.monotonic() + seconds, 0
    for data in _inputs(target, seed):
        if time.monotonic() > end:
            break
        tries += 1
        try:
            target.check(data)
        except Exception:
            traceback.print_exc()
            print(f"{target.name}: found after {tries} inputs with --seed {seed}, kept as {target.keep(data)}")
            return 1
    print(f"{target.name}: {tries} inputs with --seed {seed}, nothing found")
    return 0


def _inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Odd values in every place of the seeds, then damage without end."""
    random, corpus = Random(seed), target.corpus()
    for whole in target.seeds() if target.json else ():
        for at, part in enumerate(parts := whole.split(SPLIT)):
            yield from (SPLIT.join([*parts[:at], odd, *parts[at + 1 :]]) for odd in swept(part))
    while True:
        yield mutated(target, random.choice(corpus), corpus, random)[:INPUT_MAX_BYTES]


def _led(target: Target, seconds: float, seed: int) -> int:
    """In a process of its own, because libFuzzer ends the one it runs in."""
    child = os.fork()
    if child == 0:
        _atheris(target, seconds, seed)
    return 1 if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) else 0


def _atheris(target: Target, seconds: float, seed: int) -> None:
    import atheris

    with TemporaryDirectory() as folder:
        for at, data in enumerate(target.corpus()):
            (Path(folder) / f"{at:05d}").write_bytes(data)

        def check(data: bytes) -> None:
            try:
                target.check(data)
            except Exception:
                print(f"{target.name}: kept as {target.keep(data)}", file=sys.stderr)
                raise

        options = [
            f"-max_total_time={seconds:.0f}",
            f"-seed={seed + 1}",
            f"-max_len={INPUT_MAX_BYTES}",
            "-rss_limit_mb=4096",
        ]
        libfuzzer: Any = atheris
        libfuzzer.instrument_all()
        libfuzzer.Setup(["fuzz", *options, f"-artifact_prefix={folder}/", folder], check)
        libfuzzer.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
