"""Other people's code that lies in this repository and is shipped with ours: each piece is known by name and hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VENDORED = json.loads((ROOT / "requirements" / "vendored.json").read_text())


@pytest.mark.parametrize("vendored", VENDORED, ids=lambda each: each["name"])
def test_what_is_vendored_is_what_is_written_down_of_it(vendored: dict[str, Any]) -> None:
    body = (ROOT / vendored["file"]).read_bytes()
    assert hashlib.sha256(body).hexdigest() == vendored["sha256"]
    assert f'version="{vendored["version"]}"'.encode() in body


def test_nothing_is_vendored_that_is_not_written_down() -> None:
    """Each has its licence beside it."""
    shipped = [file for room in ("bridge", "tables", "streams") for file in (ROOT / room).rglob("*.LICENSE")]
    beside = {str(file.relative_to(ROOT).with_suffix(".min.js")) for file in shipped}
    assert beside == {each["file"] for each in VENDORED}
    minified = {str(file.relative_to(ROOT)) for file in (ROOT / "streams").rglob("*.min.*")}
    assert minified <= beside
