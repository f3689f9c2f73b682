"""A search that coverage leads, in a process of its own, because libFuzzer ends the one it runs in.

`python -m tests.fuzz.led TARGET SECONDS SEED`; `tests.fuzz` calls it.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import atheris  # type: ignore[import-not-found,unused-ignore]

INSTRUMENTED = ["bridge", "tables", "streams", "pamqp"]
"""Packages whose branches lead the search: to instrument everything takes minutes."""

with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
    from tests.fuzz.silence import be_silent
    from tests.fuzz.target import INPUT_MAX_BYTES
    from tests.fuzz.targets import TARGETS


def main(name: str, seconds: float, seed: int) -> None:
    be_silent()
    target, fuzzer = TARGETS[name], _fuzzer()
    with TemporaryDirectory() as folder:
        for at, data in enumerate(target.corpus()):
            (Path(folder) / f"{at:05d}").write_bytes(data[:INPUT_MAX_BYTES])

        def check(data: bytes) -> None:
            try:
                target.check(data)
            except Exception:
                traceback.print_exc()
                print(f"{name}: found with --seed {seed}, kept as {target.keep(data)}", flush=True)
                raise

        options = [f"-max_total_time={seconds:.0f}", f"-seed={seed + 1}", f"-max_len={INPUT_MAX_BYTES}"]
        fuzzer.Setup(["fuzz", *options, f"-artifact_prefix={folder}/", folder], check)
        fuzzer.Fuzz()


def _fuzzer() -> Any:
    return atheris


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
