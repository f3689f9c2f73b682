"""No code that anybody may be told is without a test that provokes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from test_waiting import CODES

from bridge.contract.inbound import RejectionCode
from bridge.contract.outbound import OutcomeCode

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[a-z]+(-[a-z]+)*")
PROBLEMS = {"Problem", "_problem", "problem", "_late"}
"""What makes a problem is called like that everywhere."""


@cache
def texts(folder: str) -> frozenset[str]:
    """Every string constant in the tests of a folder, but for those of this module."""
    return frozenset(
        node.value
        for file in (ROOT / "tests" / folder).rglob("*.py")
        if file != Path(__file__)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def problem_codes() -> Iterator[str]:
    """The codes that our sources write into problems, wherever they are told: events, rows, the API."""
    for file in (file for room in ("bridge", "tables", "streams") for file in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            for said in said_as_code(node):
                if isinstance(said, ast.Constant) and isinstance(said.value, str) and CODE.fullmatch(said.value):
                    yield said.value


def said_as_code(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Call() if getattr(node.func, "id", getattr(node.func, "attr", "")) in PROBLEMS:
            return [*node.args[:2], *(each.value for each in node.keywords if each.arg == "code")]
        case ast.Assign(targets=[ast.Name(id="code")], value=ast.IfExp(body=one, orelse=other)):
            return [one, other]
        case _:
            return []


def test_every_code_of_an_outcome_is_reached_by_the_rules() -> None:
    assert set(CODES) == set(OutcomeCode)


@pytest.mark.parametrize("code", OutcomeCode)
def test_every_code_of_an_outcome_is_reached_on_the_real_stack(code: OutcomeCode) -> None:
    assert code.value in texts("system")


@pytest.mark.parametrize("code", RejectionCode)
def test_every_code_of_a_rejection_is_looked_for_by_the_rules(code: RejectionCode) -> None:
    # On the real stack they are those of the same messages: tests/system/test_rejections.py has all of them, or fails.
    named = (ROOT / "tests/rules/test_envelope.py").read_text()
    assert f'"{code}"' in named or f"RejectionCode.{code.name}" in named


@pytest.mark.parametrize("code", sorted({*problem_codes()}))
def test_every_other_code_of_a_problem_is_looked_for(code: str) -> None:
    assert code in {text for folder in ("rules", "edges", "system") for text in texts(folder)}


def test_the_sources_have_codes() -> None:
    found = set(problem_codes())
    assert {"gap", "overdue", "blocks-missing", "storage-unavailable", "already-closed", "bad-parameter"} <= found
    assert not found & set(OutcomeCode), "these have their enumeration"
