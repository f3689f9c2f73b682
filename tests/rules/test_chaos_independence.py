"""The checker and the producer of the chaos runs know nothing of the product: they import nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("bridge", "tables", "streams", "tests")))
"""


@pytest.mark.parametrize("module", ["check", "produce"])
def test_nothing_of_the_product_is_imported(module: str) -> None:
    command = [sys.executable, "-c", LOADED, f"tests.chaos.{module}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    loaded = done.stdout.split()
    assert f"tests.chaos.{module}" in loaded
    assert all(name == "tests" or name.startswith("tests.chaos") for name in loaded), loaded
