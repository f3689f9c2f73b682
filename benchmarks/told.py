"""What a side that is no bridge tells of itself: when it begins, and how long it took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

BEGINS: Final = "begins"
TOOK: Final = "took seconds: "


async def tell(work: Awaitable[object]) -> None:
    """Do the work and tell; then stay until somebody ends the process, so that what it took can be looked up."""
    print(BEGINS, flush=True)
    began = time.perf_counter()
    await work
    print(f"{TOOK}{time.perf_counter() - began}", flush=True)
    await asyncio.Event().wait()
