"""`python -m benchmarks`: measure, and write `docs/performance.md`.

Each round has a stack of its own, and measures every side of every scenario once; the page has medians and spread.
`--only NAME`, `--side NAME` and `--rounds N` are for trying things out: then the figures are printed, and the page
stays as it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

from benchmarks import hardened, scenarios
from benchmarks.aims import Round
from benchmarks.measured import Machine
from benchmarks.report import as_markdown, as_text
from benchmarks.sides import Side
from streams.stack import Stack

ROUNDS: Final = 5
PAGE: Final = Path("docs/performance.md")
SCENARIOS: Final[dict[str, Callable[[Machine], dict[str, Side]]]] = {
    "azurite": scenarios.azurite,
    "sink": scenarios.sink,
    "small": scenarios.small,
    "sweep": scenarios.sweep,
    "commit": scenarios.commit,  # last: the emulator slows down with the number of blocks that it knows of
}
APART: Final[dict[str, Callable[[Machine], dict[str, Side]]]] = {
    "hardened": hardened.hardened,
    "restart": hardened.restart,
}
"""Measured when they are asked for, and not for the page."""
_SERVICES: Final = {"rabbitmq": "rabbitmq", "kafka": "kafka", "azurite": "storage"}


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
@click.option("--only", type=click.Choice(sorted(SCENARIOS | APART)), multiple=True)
@click.option("--side", "sides", multiple=True, help="Only the sides of this name.")
def main(rounds: int, only: tuple[str, ...], sides: tuple[str, ...]) -> None:
    """Measure every scenario side by side, and write docs/performance.md."""
    measured: dict[str, list[Round]] = {name: [] for name in only or SCENARIOS}
    for number in range(rounds):
        # A stack for each round: the emulator gives space back only after twenty minutes.
        with TemporaryDirectory(prefix="brh-bench-") as folder:
            stack = Stack(Path(folder))
            stack.up()
            try:
                _round(_machine(stack), number, measured, sides)
            finally:
                stack.down(wipe=True)
        if not only and not sides:
            # After each: what was measured is not lost when a later round is not finished.
            PAGE.write_text(as_markdown(measured))
            click.echo(f"wrote {PAGE}")
    for name, scenario in measured.items():
        click.echo(as_text(name, scenario))


def _round(machine: Machine, number: int, measured: dict[str, list[Round]], only: tuple[str, ...]) -> None:
    for name, scenario in measured.items():
        sides = {side: work for side, work in (SCENARIOS | APART)[name](machine).items() if not only or side in only}
        # Each round begins with another side, so that none has always the freshest or the most used stack.
        begin = number % max(1, len(sides))
        order = list(sides)[begin:] + list(sides)[:begin]
        found = {}
        for side in order:
            began = time.monotonic()
            found[side] = sides[side]()
            took = time.monotonic() - began
            figures = {key: round(value, 4) for key, value in found[side].items()}
            click.echo(f"{name} {number + 1} {side} (took {took:.0f} s): {json.dumps(figures)}")
        scenario.append({side: found[side] for side in sides})


def _machine(stack: Stack) -> Machine:
    pids = {_SERVICES[each.name]: each.pid for each in stack.status() if each.pid is not None}
    return Machine(stack.env(), pids)


if __name__ == "__main__":
    main()
