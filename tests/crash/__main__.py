"""`python -m tests.crash run`: every crash point, or some of them, on a stack of its own."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click

from streams.stack import Stack
from tests.crash import report
from tests.crash.campaign import OCCURRENCES, Combination
from tests.crash.coverage import SCENARIO
from tests.crash.points import crash_points
from tests.crash.workers import Workers


@click.group()
def main() -> None:
    """Processes that die between an effect and its record."""


@main.command("list")
def list_points() -> None:
    """Every point: where it is, and which scenario passes it."""
    for name, place in crash_points().items():
        click.echo(f"{name:32} {SCENARIO.get(name, 'none'):12} {place}")


@main.command()
@click.option("--name", "names", multiple=True, help="Only these points, or those that begin with it.")
@click.option("--occurrence", type=click.Choice(OCCURRENCES), help="Only this one.")
@click.option("--beside-zombie/--alone", "beside", default=None, help="Only one of both ways.")
@click.option("--workers", default=2, show_default=True, help="Installations at once.")
@click.option("--lines", type=click.Path(path_type=Path), default=Path(".brh/crashes.jsonl"), show_default=True)
@click.option("--minutes", type=float, help="Begin nothing new after so long; --resume goes on another time.")
@click.option("--resume", is_flag=True, help="Leave out what has passed according to these lines.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the processes' logs go, to be kept.")
def run(
    names: tuple[str, ...],
    occurrence: str | None,
    beside: bool | None,
    workers: int,
    lines: Path,
    minutes: float | None,
    resume: bool,
    folder: Path | None,
) -> None:
    """Go through the combinations; a campaign over all of them writes docs/crashes.md."""
    wanted = [each for each in report.all_combinations() if _is_wanted(each, names, occurrence, beside)]
    known = report.read(lines) if resume else {}
    left = [each for each in wanted if not _passed(known.get(each))]
    click.echo(f"{len(left)} of {len(wanted)} combinations are to be run")
    lines.parent.mkdir(parents=True, exist_ok=True)
    if not resume:
        lines.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="crash-") as temporary:
        root = folder or Path(temporary)
        stack = Stack(root / "stack")
        stack.up()
        try:
            asyncio.run(_run(Workers(stack.env(), root, workers, minutes), left, lines))
        finally:
            stack.down(wipe=True)
    found = report.read(lines)
    if set(wanted) == set(report.all_combinations()) <= set(found):
        report.PAGE.write_text(report.page(found[each] for each in wanted))
    judged = [found[each] for each in wanted if each in found]
    failed = [report.said(each) for each in judged if not _passed(each)]
    summary = f"{len(judged) - len(failed)} passed, {len(failed)} did not, {len(wanted) - len(judged)} were not run"
    click.echo("\n".join([summary, *failed]))
    raise SystemExit(bool(failed))


@main.command()
@click.option("--lines", type=click.Path(path_type=Path, exists=True), default=Path(".brh/crashes.jsonl"))
def page(lines: Path) -> None:
    """Write docs/crashes.md anew from the lines of earlier runs."""
    report.PAGE.write_text(report.page(report.read(lines).values()))


async def _run(workers: Workers, combinations: Iterable[Combination], lines: Path) -> None:
    with lines.open("a") as log:
        async for verdict in workers.run(combinations):
            found = report.line(verdict)
            print(json.dumps(found), file=log, flush=True)
            click.echo(report.said(found))


def _is_wanted(each: Combination, names: tuple[str, ...], occurrence: str | None, beside: bool | None) -> bool:
    named = not names or any(each.name.startswith(name) for name in names)
    return named and occurrence in (None, each.occurrence) and beside in (None, each.beside)


def _passed(found: report.Line | None) -> bool:
    return found is not None and found["fired"] and not found["violations"]


if __name__ == "__main__":
    main()
