"""Simulate an installation: one seed is one schedule of everything that may happen, faults included.

python -m tests.sim --seed 7 --trace               one seed, told step by step
python -m tests.sim --seed 1 --steps 1_000_000     many in a row
python -m tests.sim --plant ack-early              with a bug, until it is found
"""

from __future__ import annotations

import argparse
import os
import sys

COMMAND = "python -m tests.sim"


def main() -> int:
    """The command line."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of texts is chance that no seed decides.
        again = [sys.executable, "-m", "tests.sim", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    from tests.sim import campaign
    from tests.sim.plants import PLANTS, planted
    from tests.sim.runs import run

    parser = argparse.ArgumentParser(COMMAND, description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many in a row")
    parser.add_argument("--steps", type=int, default=0, help="instead: until there are so many steps")
    parser.add_argument("--hours", type=float, default=0, help="instead: for so long")
    parser.add_argument("--processes", type=int, default=1, help="how many at once")
    parser.add_argument("--trace", action="store_true", help="tell what happens in the first seed")
    parser.add_argument("--ledger", action="store_true", help="note it in tests/sim/ledger.jsonl")
    parser.add_argument("--plant", choices=sorted(PLANTS), action="append", default=[], help="a bug to put in")
    options = parser.parse_args()
    if options.trace:
        with planted(*options.plant):
            run(options.seed, sys.stdout)
    ran = campaign.Campaign(options.seed, tuple(options.plant))
    limits = campaign.Limits(options.steps, options.hours, options.seeds)
    for one in campaign.carry_out(ran, limits, options.processes):
        if one.violation is not None:
            again = "".join(f" --plant {name}" for name in options.plant)
            print(f"seed {one.seed}: {one.violation}\n  {COMMAND} --seed {one.seed}{again} --trace", flush=True)
    if options.ledger:
        campaign.note(ran)
    _report(ran)
    return 1 if ran.violations else 0


def _report(ran: object) -> None:
    from tests.sim.campaign import Campaign

    assert isinstance(ran, Campaign)
    rate, worked = ran.steps / max(ran.took_s, 0.001), ran.steps / max(ran.worked_s, 0.001)
    print(f"{ran.seeds} seeds, {ran.steps} steps, {len(ran.violations)} violations")
    print(f"{rate:,.0f} steps/s; {worked:,.0f} steps a second of processor time")
    print("outcomes:", ", ".join(f"{kind} {count}" for kind, count in ran.outcomes.most_common()))
    print("faults:", ", ".join(f"{kind} {count}" for kind, count in ran.faults.most_common()))
    print(f"digest {ran.digest:016x}")


if __name__ == "__main__":
    sys.exit(main())
