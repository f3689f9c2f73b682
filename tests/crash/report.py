"""What a campaign has found: a line of JSON for each combination, and a page."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.crash.campaign import OCCURRENCES, Combination, Verdict
from tests.crash.coverage import BY_SCENARIO, PROCESSES, SCENARIO, processes
from tests.crash.points import ROOT, crash_points

PAGE: Final = ROOT / "docs/crashes.md"
Line = dict[str, Any]


def all_combinations() -> list[Combination]:
    """Every point in every kind of process, at each occurrence, alone and beside a twin; by scenario."""
    return [
        Combination(name, kind, occurrence, beside)
        for names in BY_SCENARIO.values()
        for name in names
        for kind in processes(name)
        for beside in (False, True)
        for occurrence in OCCURRENCES
    ]


def line(verdict: Verdict) -> Line:
    """As it is kept."""
    return {
        **verdict.combination._asdict(),
        "commit": commit(),
        "number": verdict.number,
        "fired": verdict.fired,
        "twin": verdict.twin,
        "violations": verdict.violations,
        "seconds": round(verdict.seconds, 1),
    }


def key(found: Line) -> Combination:
    """Of which combination it is."""
    return Combination(*(found[name] for name in Combination._fields))


def read(path: Path) -> dict[Combination, Line]:
    """The last line of each combination."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {key(found): found for found in map(json.loads, lines)}


def said(found: Line) -> str:
    """One line for people."""
    beside = " beside a twin" if found["beside"] else ""
    what = "; ".join(found["violations"]) or ("passed" if found["fired"] else "never fired")
    twin = f" ({found['twin']})" if found["twin"] else ""
    where = f"{found['name']} {found['kind']} {found['occurrence']} ({found['number']}){beside}"
    return f"{where}: {what}{twin}, {found['seconds']} s"


def commit() -> str:
    """Of the code that is run."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def page(lines: Iterable[Line]) -> str:
    """The whole campaign on a page."""
    found = {key(each): each for each in lines}
    passed = [each for each in found.values() if each["fired"] and not each["violations"]]
    places = crash_points()
    seconds = sum(each["seconds"] for each in found.values())
    rows = []
    for name in SCENARIO:
        for kind in processes(name):
            cells = [
                _cell(found.get(Combination(name, kind, occurrence, beside)))
                for beside in (False, True)
                for occurrence in OCCURRENCES
            ]
            shown = name if len(PROCESSES[name.partition(".")[0]]) == 1 else f"{name} ({kind})"
            rows.append(f"| {shown} | {SCENARIO[name]} | {' | '.join(cells)} |")
    died = sum("came there and died" in each["twin"] for each in found.values())
    return TEXT.format(
        commit=", ".join(sorted({each["commit"] for each in found.values()})),
        points=len(places),
        combinations=len(found),
        planned=len(all_combinations()),
        passed=len(passed),
        unfired=sum(not each["fired"] for each in found.values()),
        wrong=sum(bool(each["violations"]) for each in found.values()),
        died=died,
        twins=sum(each["beside"] for each in found.values()),
        average=seconds / max(1, len(found)),
        cores=os.cpu_count(),
        rows="\n".join(rows),
    )


def _cell(found: Line | None) -> str:
    if found is None:
        return "not run"
    if found["violations"]:
        return "**wrong**"
    return f"{found['number']}: {found['seconds']} s" if found["fired"] else "*never fired*"


TEXT: Final = """# Crash points

<!-- written by `python -m tests.crash run`; what it does stands in the modules of `tests/crash/` -->

Between each effect and its record there is a crash point: {points} of them, found by reading the code, and a point
without a run of its own fails the tests. `make crash` goes through all of them on the real stack: the first, the second
and the last time that a run passes the point (as counted in a run without a crash),

* **alone**: the process kills itself there with SIGKILL, and is started again;
* **beside a twin**: it is frozen there with SIGSTOP. Another process takes its place, under the same name and at
  another address, and is killed when it comes to the same point; a third one finishes. The frozen one is woken as soon
  as its replacement works (first occurrence) or when everything has been told (second and last).

A checker that knows only what was sent compares what is to be seen from outside: every byte of every part, the outcome,
what else is in storage, every copy of every notification on RabbitMQ and Kafka and its one id, dead letters, orphans,
parked records, and what the API says. A process that ends itself is a failure, too, unless it had to leave its group.

Commit {commit}, {cores} cores: {passed} of {combinations} combinations passed, {wrong} were wrong, {unfired} never
fired ({planned} are planned). {average:.1f} s each. Of {twins} replacements {died} came to the same point and died too.

What this does not show: a kill is no power loss, the brokers are single nodes on the same machine, and storage is an
emulator. A cell has the number of the arrival, and how long it took until everything was judged.

| point | scenario | first | second | last | first, twin | second, twin | last, twin |
|---|---|---|---|---|---|---|---|
{rows}
"""
