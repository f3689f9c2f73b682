"""How far a transfer is: a bar with rate and time left on a terminal, a line now and then elsewhere, both on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from streams.cli.spans import span_text

LINE_INTERVAL_S: Final = 5.0
"""Between two lines where no terminal is there: a log of a long transfer stays readable."""


class Moved(NamedTuple):
    """How far a transfer is."""

    bytes: int
    bytes_of: int | None
    """None: not known."""
    note: str = ""
    """What else there is to say, such as `3 of 7 payloads`."""
    found: int = 0
    """Of `bytes`: those that were there before. They tell nothing of the pace."""


Show = Callable[[Moved], None]


@contextmanager
def shown(label: str, as_json: bool) -> Iterator[Show]:
    """What is to be told of each step; with --json it tells nobody."""
    console = Console(stderr=True)
    if as_json:
        yield lambda _: None
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bars(console) as bars:
            yield _on_terminal(bars, label)
    else:
        yield Lines(label, lambda line: click.echo(line, err=True))


def _bars(console: Console) -> Progress:
    # On a narrow terminal the words are cut, and never the numbers.
    words = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    return Progress(
        TextColumn("{task.description}", table_column=words, markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        expand=True,
    )


def _on_terminal(bars: Progress, label: str) -> Show:
    task = bars.add_task(label, total=None)
    found = 0

    def show(moved: Moved) -> None:
        nonlocal found
        if moved.found != found:
            found = moved.found
            bars.reset(task, completed=moved.bytes)  # or the pace would be that of reading what is there
        said = f"{label} {moved.note}".rstrip()
        bars.update(task, completed=moved.bytes, total=moved.bytes_of, description=said)

    return show


class Lines:
    """Prints a line at the beginning, and then one each `LINE_INTERVAL_S`."""

    def __init__(self, label: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._say = say
        self._clock = clock
        self._before: tuple[float, int] | None = None

    def __call__(self, moved: Moved) -> None:
        """Say it, if it is time to."""
        now_s, came = self._clock(), moved.bytes - moved.found
        if self._before is not None and now_s - self._before[0] < LINE_INTERVAL_S:
            return
        rate = (came - self._before[1]) / (now_s - self._before[0]) if self._before else None
        self._before = now_s, came
        self._say(line(self._label, moved, rate))


def line(label: str, moved: Moved, rate: float | None) -> str:
    """Such as `T1: 43.0 MB of 128.0 MB (33 %), 34 of 100 payloads, 12.1 MB/s, 7 s left`; `rate` in bytes a second."""
    said = decimal(moved.bytes)
    if moved.bytes_of is not None:
        share = 100 * moved.bytes // moved.bytes_of if moved.bytes_of else 100
        said += f" of {decimal(moved.bytes_of)} ({share} %)"
    parts = [said, moved.note]
    if rate is not None:
        parts.append(f"{decimal(round(rate))}/s")
    if rate and moved.bytes_of is not None:
        parts.append(f"{span_text((moved.bytes_of - moved.bytes) / rate)} left")
    return f"{label}: {', '.join(filter(None, parts))}"
