"""`python -m tests.golden RELEASE`: write the records of a release that is being made, from the real structs.

What is there already is left alone, because a release that is out does not change; `--again` is for one that is not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.golden.releases import FOLDER, RELEASES


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("release", choices=RELEASES)
    parser.add_argument("--again", action="store_true", help="write over what is there")
    chosen = parser.parse_args(arguments)
    for name, sample in RELEASES[chosen.release]().items():
        file = FOLDER / chosen.release / name
        if file.exists() and not chosen.again:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(sample.written)
        print(file.relative_to(FOLDER))


if __name__ == "__main__":
    main(sys.argv[1:])
