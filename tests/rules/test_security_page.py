"""What SECURITY.md claims is shown by something that is there, under ids that OWASP's ASVS 5.0.0 really has."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
SECTIONS = {
    1: (2, 10, 12, 3, 3),
    2: (3, 3, 5, 2),
    3: (1, 3, 5, 8, 8, 1, 5),
    4: (5, 5, 2, 4),
    5: (1, 6, 3, 3),
    6: (3, 12, 8, 6, 8, 4, 2, 4),
    7: (3, 4, 2, 5, 3, 2),
    8: (4, 4, 3, 2),
    9: (3, 4),
    10: (2, 3, 5, 16, 5, 2, 3),
    11: (4, 5, 5, 4, 2, 2, 2),
    12: (5, 2, 5),
    13: (4, 6, 4, 7),
    14: (2, 8, 3),
    15: (5, 5, 7, 4),
    16: (1, 5, 4, 3, 4),
    17: (2, 8, 2),
}
"""How many requirements each section of a chapter has."""
ID = re.compile(r"v5\.0\.0-(\d+)\.(\d+)\.(\d+)")
CLAIM = re.compile(r"^\| (v5\.0\.0-[\d.]+) \| ([123]) \| (.+) \| (.+) \|$", re.MULTILINE)
SHOWN = re.compile(r"`([^`]+)`")
CLAIMS = CLAIM.findall(PAGE)
NOT_MET = PAGE.partition("Not met, or not by us alone:")[2]


def numbers(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, found)) for found in ID.findall(text)]


def test_every_requirement_is_one_and_is_named_once() -> None:
    named = numbers(PAGE)
    assert len(CLAIMS) > 60
    assert len(named) == len(set(named)), "claimed and not met, or twice"
    for chapter, section, requirement in named:
        assert 1 <= section <= len(SECTIONS[chapter]), (chapter, section)
        assert 1 <= requirement <= SECTIONS[chapter][section - 1], (chapter, section, requirement)


def test_both_tables_are_in_the_order_of_the_standard() -> None:
    claimed = numbers(PAGE.partition("Not met")[0])
    assert len(claimed) == len(CLAIMS), "a row that cannot be read"
    assert claimed == sorted(claimed)
    rows = [numbers(line) for line in NOT_MET.splitlines() if ID.search(line)]
    assert rows == sorted(sorted(row) for row in rows)
    assert len(rows) > 10


def test_every_claim_is_shown_by_tests_or_files_that_are_there() -> None:
    for requirement, _, _, shown in CLAIMS:
        named = SHOWN.findall(shown)
        assert named, requirement
        for each in named:
            file, _, test = each.partition("::")
            assert (ROOT / file).exists(), f"{requirement}: {each}"
            if file.startswith("tests/"):
                wanted = rf"^(async )?def {test}\(" if test else r"^(async )?def test_"
                text = (ROOT / file).read_text()
                assert re.search(wanted, text, re.MULTILINE), f"{requirement}: {each}"
