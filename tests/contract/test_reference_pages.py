"""The pages of settings and codes describe every one of them, and nothing that is not there."""

from __future__ import annotations

import re

import pytest

from bridge.contract.inbound import RejectionCode
from bridge.contract.outbound import OutcomeCode
from bridge.unreadable import ReadCode
from reference import codes, docstrings, settings, told
from reference.pages import DOCS
from streams.findings import Kind
from streams.remedies import REMEDIES
from tests.contract.test_schemas import ROOT

NAMED = re.compile(r"(?<!_)BRH_[A-Z0-9_]*[A-Z0-9]")
CHOICES = {"BRH_LOG_FORMAT"}
"""Named in a help text only."""
OF_HTTP = {"not-found", "method-not-allowed", "request-timeout"}
"""Made from the words of HTTP for an error that aiohttp raises."""


@pytest.mark.parametrize("process", settings.PROCESSES)
def test_every_setting_says_what_it_is_for(process: str) -> None:
    cls = settings.PROCESSES[process]
    said = docstrings.members(cls)
    assert [name for name in cls.model_fields if not said.get(name)] == []


def test_every_number_has_bounds() -> None:
    page = (DOCS / "settings.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `BRH_")]
    numbers = [row for row in rows if re.fullmatch(r"`[0-9.]+`( \(.*\))?", row[1])]
    assert len(numbers) > 30
    unbound = [row[0] for row in numbers if not re.search(r"from .* to |at least", row[2])]
    assert unbound == []


def test_every_variable_that_the_sources_name_is_described() -> None:
    sources = [file.read_text() for room in ("bridge", "tables", "streams") for file in (ROOT / room).rglob("*.py")]
    named = {name for text in sources for name in NAMED.findall(text)}
    assert named - settings.variables() - CHOICES == set()
    page = (DOCS / "settings.md").read_text()
    assert {name for name in settings.variables() if f"`{name}`" not in page} == set()


def test_every_code_that_the_sources_tell_is_described() -> None:
    assert codes.used() - codes.described() == set()
    page = (DOCS / "codes.md").read_text()
    assert {code for code in codes.described() if f"`{code}`" not in page} == set()


def test_no_code_is_described_that_nobody_tells() -> None:
    enumerated = {str(code) for each in (RejectionCode, OutcomeCode, ReadCode, Kind) for code in each}
    assert codes.described() - codes.used() - enumerated - OF_HTTP == set()
    assert (set(told.REJECTIONS), set(told.OUTCOMES), set(told.UNREADABLE)) == (
        set(RejectionCode),
        set(OutcomeCode),
        set(ReadCode),
    )


def test_what_helps_is_said_once() -> None:
    """Where somebody is told it as well, the page says the same."""
    for table in (told.REJECTIONS, told.OUTCOMES, told.UNDER_WAY, told.API):
        for code, said in table.items():
            assert bool(said.helps) is (code not in REMEDIES), code
