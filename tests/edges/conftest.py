"""What tests of several adapters share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.counting import Counting


@pytest.fixture
async def counting(stack_env: dict[str, str], tmp_path: Path) -> AsyncIterator[Callable[..., Counting]]:
    """Small Faust apps for one test; their workers are killed after it."""
    apps: list[Counting] = []

    def make(**options: Any) -> Counting:
        apps.append(Counting(stack_env["BRH_KAFKA_BOOTSTRAP"], tmp_path, **options))
        return apps[-1]

    yield make
    for app in apps:
        await app.close()
