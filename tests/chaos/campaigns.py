"""The ledger of campaigns: a line for each run, good or not."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.chaos.run import Ran, Wanted

ROOT: Final = Path(__file__).parents[2]
LEDGER: Final = ROOT / "docs" / "campaigns.jsonl"


def record(wanted: Wanted, ran: Ran) -> None:
    """Append a run."""
    report = ran.report
    line = {
        "kind": "soak" if wanted.soak else "chaos",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "seed": wanted.seed,
        "minutes": wanted.minutes,
        "faults": dict(sorted(ran.faults.items())),
        "transactions": report.get("transactions", 0),
        "outcomes": report.get("outcomes", {}),
        "messages": report.get("classes", {}),
        "violations": report["violations"],
        "problems": ran.problems,
    }
    if ran.held:
        line["held"] = {name: {what: each._asdict() for what, each in of.items()} for name, of in ran.held.items()}
    with LEDGER.open("a") as file:
        file.write(json.dumps(line | ({"planted": wanted.plant} if wanted.plant else {})) + "\n")


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", ":!docs") else "")
