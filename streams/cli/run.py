"""`brh run`: everything that one machine needs, under one supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import click
import rich_click

from bridge.logs import configure_logs
from bridge.settings import load
from streams.cli.errors import CliError
from streams.cli.help import examples
from streams.settings import TrackerSettings
from streams.supervisor import GaveUpError, Supervisor, children


@click.command(
    "run", cls=rich_click.RichCommand, epilog=examples("brh run", "brh run --bridges 2 --trackers 2 --deliveries 2")
)
@click.option("--bridges", type=click.IntRange(0, 64), default=1, show_default=True, help="Bridges.")
@click.option("--trackers", type=click.IntRange(0, 64), default=1, show_default=True, help="Trackers.")
@click.option("--deliveries", type=click.IntRange(0, 64), default=1, show_default=True, help="Deliveries.")
def command(bridges: int, trackers: int, deliveries: int) -> None:
    """Run bridge, tracker and delivery; what ends is started again.

    SIGTERM or Ctrl-C drains: nothing new is taken, what is in hand is finished.
    """
    settings = load(TrackerSettings)  # wrong settings are said once here, not by every child again and again
    env = {name: value for name, value in os.environ.items() if name.startswith("BRH_")}
    env["BRH_LOG_FORMAT"] = settings.log_format
    # Whoever reads JSON finds the process in each line.
    shape = "{line}" if settings.log_format == "json" else "{name} | {line}"
    out = sys.stdout  # what is printed behind the next line becomes one of the log itself
    configure_logs(settings, "run")
    supervisor = Supervisor(
        children(bridges, trackers, deliveries, env),
        lambda name, line: click.echo(shape.format(name=name, line=line), file=out),
    )
    try:
        asyncio.run(_run(supervisor))
    except GaveUpError as error:
        raise CliError(str(error), code="gave-up", remedy="Mend what its output names, then run again.") from None


async def _run(supervisor: Supervisor) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()
