"""`python -m tests.chaos run --seed 7 --minutes 60`: faults on the real stack, under load, judged from outside."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from tests.chaos.campaigns import record
from tests.chaos.run import GIB, Ran, Wanted
from tests.chaos.run import run as run_once
from tests.chaos.soak import as_text


@click.group()
def main() -> None:
    """Break a whole installation in every way, and look whether it keeps its promises."""


@main.command()
@click.option("--seed", default=7, show_default=True)
@click.option("--minutes", default=5.0, show_default=True)
@click.option("--rate", default=1.5, show_default=True, help="Transactions a second.")
@click.option("--gigabytes", default=20.0, show_default=True, help="Of bodies, at most: they stay on disk meanwhile.")
@click.option("--huge-every", default=400, show_default=True, help="Transactions for one of 250 MB; 0: none.")
@click.option("--small", is_flag=True, help="One process of each kind.")
@click.option("--plant", default="", help="A mistake to be caught; see tests/chaos/planted.py.")
@click.option("--soak", is_flag=True, help="End no process, one fault a minute; say what processes hold.")
@click.option("--ledger", is_flag=True, help="Append what came of it to docs/campaigns.jsonl.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Instead of .brh/chaos/<seed>-<time>.")
@click.option("--keep", is_flag=True, help="Keep the folder of a good run, too.")
def run(
    seed: int,
    minutes: float,
    rate: float,
    gigabytes: float,
    huge_every: int,
    small: bool,
    plant: str,
    soak: bool,
    ledger: bool,
    folder: Path | None,
    keep: bool,
) -> None:
    """Let the faults of a seed happen for some minutes. Exit code 0: everything was as promised."""
    folder = (folder or Path(".brh/chaos") / f"{seed}-{time.strftime('%Y%m%dT%H%M%S')}").absolute()
    folder.mkdir(parents=True)
    # That the service behind a proxy is away is one of the faults, and no traceback of the proxy's.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    wanted = Wanted(seed, minutes, rate, int(gigabytes * GIB), huge_every, small, plant, soak)
    ran = asyncio.run(_until_told(run_once(folder, wanted, click.echo)))
    if ran.held:
        click.echo(as_text(ran.held))
    for problem in ran.problems:
        click.echo(f"PROBLEM {problem}")
    for each in ran.report["violations"]:
        click.echo(f"VIOLATION {each['law']} {each['transaction']}: {each['detail']}")
    click.echo(
        f"seed {seed}, {minutes:g} min: {sum(ran.faults.values())} faults {ran.faults}, "
        f"others met nothing: {ran.missed}; "
        f"{ran.report.get('transactions')} transactions {ran.report.get('outcomes')}; "
        f"{ran.report.get('confirmed')} messages {ran.report.get('classes')}"
    )
    if ledger:
        record(wanted, ran)
    if ran.good and not keep:
        shutil.rmtree(folder)
    else:
        click.echo(f"everything is kept in {folder}")
    sys.exit(0 if ran.good else 1)


async def _until_told(work: Coroutine[Any, Any, Ran]) -> Ran:
    """SIGTERM ends it as Ctrl-C does: everything that was started is ended."""
    task = asyncio.create_task(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


if __name__ == "__main__":
    main()
