"""What comes from outside is never read by what could run it, or unfold it without a limit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from faust.serializers import codecs

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for package in ("bridge", "tables", "streams") for path in (ROOT / package).rglob("*.py"))
RUNS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
"""Reading a record runs what is in it. Ruff's S301 sees calls; this sees also who only has one at hand."""
UNFOLDS = {"gzip", "bz2", "lzma", "zipfile", "tarfile", "zstandard", "brotli"}
MARKUP = {"xml", "lxml", "yaml", "plistlib"}
"""Entities, aliases, tags. Azure's own client reads Azure's lists, with a parser that knows no entities of others."""
UNFOLDS_WITH_A_LIMIT = {"tables/tiling.py": {"zlib"}}
"""Rows that trackers wrote themselves; `tests/rules/test_tiling.py` has the bomb."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_at_hand_that_runs_or_unfolds_what_it_reads(path: Path) -> None:
    allowed = UNFOLDS_WITH_A_LIMIT.get(str(path.relative_to(ROOT)), set())
    assert (set(imported(path)) & (RUNS | UNFOLDS | MARKUP | {"zlib"})) - allowed == set()


def test_faust_has_pickle_and_no_topic_or_table_of_ours_uses_it() -> None:
    """Faust reads by a name that we choose, never by one that is in a record."""
    assert "pickle" in codecs.codecs, "the day that it is gone, this test may go, too"
    found = [each for path in MODULES for each in serializers(path)]
    assert found, "topics are read raw"
    assert set(found) <= {"raw", "json"}


def serializers(path: Path) -> Iterator[object]:
    """What is said for `key_serializer` and `value_serializer`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg and node.arg.endswith("_serializer"):
            assert isinstance(node.value, ast.Constant), f"{path}: a serializer that is not spelled out"
            yield node.value.value
