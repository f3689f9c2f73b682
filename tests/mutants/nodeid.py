"""For mutmut 3.7, which reads what pytest 9.2 does not keep any more."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        item._nodeid = item.nodeid
