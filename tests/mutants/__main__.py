"""How many mistakes the tests of the pure core notice: `make mutants`, or `ARGS="tables/rules.py"` for one module.

What was found is kept, so that it can be interrupted and gone on with; `--report` only tells.
"""

from __future__ import annotations

import argparse
import time
from typing import Final

from tests.mutants.modules import MODULES
from tests.mutants.mutation import Score, change, is_current, mutate, score

WANTED: Final = 0.85
"""Of all mutants together."""


def main() -> None:
    """Mutate, and print a line for each module."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--seconds", type=float, help="stop after so long; the next run goes on from there")
    parser.add_argument("--report", action="store_true", help="mutate nothing, tell what is known")
    parser.add_argument("--show", action="store_true", help="show what survived")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds if options.seconds else None
    scores: dict[str, Score] = {}
    for module in options.modules or MODULES:
        left_s = until - time.monotonic() if until else None
        if options.report or (left_s is not None and left_s < 20) or _is_done(module):
            scores[module] = score(module)
        else:
            scores[module] = mutate(module, left_s)
        print(_line(module, scores[module]), flush=True)
        if options.show:
            for name in (*scores[module].unseen, *scores[module].survivors):
                print(f"{name}\n{change(module, name)}")
    total = Score(*map(sum, zip(*((s.mutants, s.killed) for s in scores.values()), strict=True)), (), (), 0)
    print(_line("together", total))
    raise SystemExit(total.killed < WANTED * total.mutants)


def _is_done(module: str) -> bool:
    known = score(module)
    return is_current(module) and known.mutants > 0 and not known.unchecked


def _line(name: str, score: Score) -> str:
    share = score.killed / score.mutants if score.mutants else 1.0
    left = f", {score.unchecked} not tried" if score.unchecked else ""
    return f"| `{name}` | {score.mutants} | {score.killed} | {share:.1%} |{left}"


main()
