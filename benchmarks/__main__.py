"""`python -m benchmarks`: measure, and write `docs/performance.md`.

Starts a stack of its own, runs every scenario round after round, and keeps medians and spread. `--only NAME` and
`--rounds N` are for trying things out: then the figures are printed, and the page stays as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks import commit, scenarios
from benchmarks.report import Scenario, as_markdown, as_text
from streams.stack import Stack

ROUNDS = 5
PAGE = Path("docs/performance.md")
SCENARIOS = {
    "azurite": scenarios.azurite,
    "sink": scenarios.sink,
    "small": scenarios.small,
    "sweep": scenarios.sweep,
    "commit": commit.commit,
}


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True)
@click.option("--only", type=click.Choice(sorted(SCENARIOS)), multiple=True)
def main(rounds: int, only: tuple[str, ...]) -> None:
    """Measure every scenario side by side, and write docs/performance.md."""
    measured: dict[str, Scenario] = {}
    for name in only or SCENARIOS:
        measured[name] = {}
        for number in range(1, rounds + 1):
            # A stack for each round: the emulator gives space back only after twenty minutes.
            with TemporaryDirectory(prefix="brh-bench-") as folder:
                stack = Stack(Path(folder))
                stack.up()
                try:
                    for side, figures in SCENARIOS[name](stack.env()).items():
                        measured[name].setdefault(side, []).append(figures)
                        click.echo(f"{name} {number}/{rounds} {side}: {json.dumps(figures)}")
                finally:
                    stack.down(wipe=True)
    for name, scenario in measured.items():
        click.echo(as_text(name, scenario))
    if not only:
        PAGE.write_text(as_markdown(measured, rounds))
        click.echo(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
