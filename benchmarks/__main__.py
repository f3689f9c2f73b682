"""`python -m benchmarks`: measure, and write `docs/performance.md`.

Each round has a stack of its own, and measures every side of every scenario once; the page has medians and spread.
What is interrupted goes on with the next round (`benchmarks.kept`). `--only NAME` and `--side NAME` are for trying
things out: then the figures are printed, and the page stays as it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

from benchmarks import hardened, kept, scenarios
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
    "paced": scenarios.paced,
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
@click.option("--rounds", default=ROUNDS, show_default=True, help="How many there should be, with those of earlier.")
@click.option("--fresh", is_flag=True, help="Forget the rounds that were measured earlier.")
@click.option("--only", type=click.Choice(sorted(SCENARIOS | APART)), multiple=True)
@click.option("--side", "sides", multiple=True, help="Only the sides of this name.")
def main(rounds: int, fresh: bool, only: tuple[str, ...], sides: tuple[str, ...]) -> None:
    """Measure every scenario side by side, and write docs/performance.md."""
    if only or sides:
        tried = [_round(number, only or tuple(SCENARIOS), sides)["measured"] for number in range(rounds)]
        for name in tried[0]:
            click.echo(as_text(name, [each[name] for each in tried]))
        return
    if fresh:
        kept.forget()
    for number in range(len(kept.kept()), rounds):
        kept.keep(_round(number, tuple(SCENARIOS), ()))
        _write_page()
    _write_page()


def _write_page() -> None:
    rounds = kept.kept()
    measured = {name: [each["measured"][name] for each in rounds] for name in SCENARIOS}
    PAGE.write_text(as_markdown(measured, rounds[-1]["services"]))
    click.echo(f"wrote {PAGE}: {len(rounds)} rounds")


def _round(number: int, names: Sequence[str], only: Sequence[str]) -> kept.Kept:
    # A stack for each round: the emulator gives space back only after twenty minutes.
    with TemporaryDirectory(prefix="brh-bench-") as folder:
        stack = Stack(Path(folder))
        stack.up()
        try:
            services = [f"{each.name} {each.version}" for each in stack.status()]
            measured = {name: _side_by_side(_machine(stack), number, name, only) for name in names}
            return {"measured": measured, "services": services}
        finally:
            stack.down(wipe=True)


def _side_by_side(machine: Machine, number: int, name: str, only: Sequence[str]) -> Round:
    sides = {side: work for side, work in (SCENARIOS | APART)[name](machine).items() if not only or side in only}
    # Each round begins with another side, so that none has always the freshest or the most used stack.
    begin = number % max(1, len(sides))
    found = {}
    for side in (*list(sides)[begin:], *list(sides)[:begin]):
        began = time.monotonic()
        found[side] = sides[side]()
        took = time.monotonic() - began
        figures = {key: round(value, 4) for key, value in found[side].items()}
        click.echo(f"{name} {number + 1} {side} (took {took:.0f} s): {json.dumps(figures)}")
    return {side: found[side] for side in sides}


def _machine(stack: Stack) -> Machine:
    pids = {_SERVICES[each.name]: each.pid for each in stack.status() if each.pid is not None}
    return Machine(stack.env(), pids)


if __name__ == "__main__":
    main()
