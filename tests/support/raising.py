"""Runs a process of the product in which the one thing it is for fails, with secrets and bodies in local variables.

python -m tests.support.raising bridge
python -m tests.support.raising faust --quiet -A streams.delivery worker
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any, NoReturn

from bridge import headers
from streams.assemble import Assembler
from streams.courier import Courier

RAISED = "it was planted"


def fail(*args: Any, **kwargs: Any) -> NoReturn:
    """With everything that must not be shown in its frame, and in those of its callers."""
    settings, given = dict(os.environ), (args, kwargs)
    raise RuntimeError(f"{RAISED}: {len(settings)} {len(given)}\n2026-01-01T00:00:00.000Z [info     ] forged")


async def fail_later(*args: Any, **kwargs: Any) -> NoReturn:
    fail(*args, **kwargs)


if __name__ == "__main__":
    headers.keep_header = fail_later
    Assembler.take = fail  # type: ignore[method-assign]
    Courier.carry_out = fail_later  # type: ignore[method-assign]
    sys.argv = sys.argv[1:]
    sys.path.insert(0, "")
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
