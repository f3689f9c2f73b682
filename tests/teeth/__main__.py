"""See that planted bugs are found: `make teeth`, or `python -m tests.teeth --name ack-early`.

Each is found by the test that it names, and that test passes without it. A run of all of them writes docs/teeth.md.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from tests.teeth.bugs import Bug, all_bugs
from tests.teeth.runs import ROOT, Ran, run

PAGE: Final = ROOT / "docs" / "teeth.md"
HEAD: Final = """\
# Teeth

A test that cannot fail proves nothing. Each of these bugs is put over the product by name (`tests/teeth`), and the test
that has to find it does; without the bug the same test passes. The seconds are those from the start of the test run to
its end at the first failure, the start of Python and, where the stack is needed, of three real services included.

`make teeth` does all of it and writes this page; `python -m tests.teeth --name ack-early` does one. Those that need no
services are part of `make test`.

| bug | what it does | found by | s |
|---|---|---|---|
"""


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.teeth", description=__doc__)
    parser.add_argument("--name", action="append", choices=sorted(all_bugs()), help="only this bug; may be repeated")
    parser.add_argument("--pure", action="store_true", help="only those that need no services")
    parser.add_argument("--planted", action="store_true", help="leave out the runs without a bug")
    options = parser.parse_args()
    bugs = [bug for bug in all_bugs().values() if not (options.name and bug.name not in options.name)]
    bugs = [bug for bug in bugs if not (options.pure and bug.stack)]
    rows, passing = [], dict[str, Ran]()
    for bug in bugs:
        if bug.found_by not in passing and not options.planted:
            passing[bug.found_by] = run(bug, planted=False)
        ran, without = run(bug, planted=True), passing.get(bug.found_by)
        problem = _problem(without, ran)
        print(f"{bug.name}: {problem or f'found in {ran.took_s:.1f} s'}", flush=True)
        if problem:
            print((ran if without is None or without.passed else without).said[-3000:])
        else:
            rows.append(_row(bug, ran))
    if len(rows) == len(all_bugs()) and not options.planted:
        PAGE.write_text(HEAD + "".join(rows))
    sys.exit(len(rows) != len(bugs))


def _problem(without: Ran | None, planted: Ran) -> str | None:
    if without is not None and not without.passed:
        return "the test does not pass without the bug"
    if planted.passed:
        return "NOT FOUND"
    return None if planted.failed else "the run broke"


def _row(bug: Bug, ran: Ran) -> str:
    return f"| `{bug.name}` | {bug.says} | `{bug.found_by}` | {ran.took_s:.1f} |\n"


main()
