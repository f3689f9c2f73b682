"""Check the model by hand: `python -m tests.model`, with `--mutant NAME` one of its mistakes."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.model.search import MODEL, search


def main() -> None:
    """Print how many states there are, and the way to where a law breaks."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=f"Search {MODEL.name}.")
    parser.add_argument("--scenario", help="PATIENT, IMPATIENT, LATE or EVERYTHING; default: the first three")
    parser.add_argument("--mutant", help="a mistake that the model names")
    wanted = {name.upper(): value for name, value in vars(parser.parse_args()).items() if value}
    with tempfile.TemporaryDirectory() as folder:
        found = search(Path(folder), **wanted)
    print(found.way, end="")
    print(f"{found.states:,} states, " + (f"broken: {found.broken}" if found.broken else "every law holds"))
    raise SystemExit(found.broken is not None)


main()
