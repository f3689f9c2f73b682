"""`python -m tests.fuzz TARGET --seconds N`: look for inputs that a decoder does not expect.

With `atheris` (`requirements/fuzz.txt`) the search is led by coverage; without it inputs of the corpus are damaged at
random. What is found is printed, kept in the corpus, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from random import Random

from tests.fuzz.kafka import SPLIT
from tests.fuzz.mutate import mutated, swept
from tests.fuzz.silence import be_silent
from tests.fuzz.target import INPUT_MAX_BYTES, Target
from tests.fuzz.targets import TARGETS


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--blind", action="store_true", help="without atheris, even where it is installed")
    chosen = parser.parse_args(arguments)
    be_silent()
    targets = list(TARGETS.values()) if chosen.target == "all" else [TARGETS[chosen.target]]
    search = _blind if chosen.blind or not _has_atheris() else _led
    return max(search(target, chosen.seconds, chosen.seed) for target in targets)


def _has_atheris() -> bool:
    return find_spec("atheris") is not None


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
    command = [sys.executable, "-m", "tests.fuzz.led", target.name, str(seconds), str(seed)]
    return 1 if subprocess.run(command, check=False).returncode else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
