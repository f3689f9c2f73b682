"""`docs/codes.md`: every code that anybody may be told, with what it means and what helps."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bridge.contract.inbound import RejectionCode
from bridge.contract.outbound import OutcomeCode
from bridge.unreadable import ReadCode
from reference import docstrings, told
from reference.told import Said
from streams import remedies
from streams.findings import Kind, remedy

ROOT: Final = Path(__file__).parents[1]
_PROBLEMS: Final = {"Problem", "_problem", "problem", "_late"}
"""What makes a problem is called like that everywhere."""

_HEAD: Final = """\
# Codes

<!-- Written by `python -m reference` from the code: change that instead. -->

A code is a stable string: programs may decide by it. New ones may be added. Whoever is told a code is also told a
sentence that names the thing. What helps is told as well by the command line, the pages and the API (`remedy`); for
events, documents and messages that were refused it stands here.
"""


def codes_page() -> str:
    """The page."""
    sections = (
        (
            "Messages that are refused",
            told.REJECTIONS_HEAD,
            {str(code): told.REJECTIONS[code] for code in RejectionCode},
        ),
        ("Outcomes", told.OUTCOMES_HEAD, {str(code): told.OUTCOMES[code] for code in OutcomeCode}),
        ("On the way", told.UNDER_WAY_HEAD, told.UNDER_WAY),
        ("Records that cannot be read", told.UNREADABLE_HEAD, {str(code): told.UNREADABLE[code] for code in ReadCode}),
        ("The API", told.API_HEAD, told.API),
        ("The command line", told.COMMANDS_HEAD, told.COMMANDS),
        ("`brh stack`", told.STACK_HEAD, told.STACK),
        ("`brh fsck`", told.FINDINGS_HEAD, _findings()),
        ("Exit codes of processes", told.EXITS_HEAD, told.EXITS),
    )
    return _HEAD + "".join(_section(*each) for each in sections)


def described() -> set[str]:
    """Every code that the page describes."""
    listed: tuple[Mapping[str, Said], ...] = (told.UNDER_WAY, told.API, told.COMMANDS, told.STACK)
    enumerated = {str(code) for codes in (RejectionCode, OutcomeCode, ReadCode, Kind) for code in codes}
    return enumerated | {code for codes in listed for code in codes}


def used() -> set[str]:
    """Every code that stands in the sources, whatever tells it."""
    found: set[str] = set()
    for room in ("bridge", "tables", "streams"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                found |= {code for each in _said_as_code(node) for code in _constants(each)}
    return found


def _said_as_code(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Call():
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            named = [each.value for each in node.keywords if each.arg == "code"]
            # A problem of the API begins with its status, what denies access too.
            return named + (node.args[:2] if name in _PROBLEMS or name == "Denied" else [])
        case ast.Assign(targets=[ast.Name(id="code")], value=value):
            return [value]
        case _:
            return []


def _constants(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)) if text and text == text.lower() and " " not in text:
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _constants(one)
            yield from _constants(other)


def _findings() -> dict[str, Said]:
    said = docstrings.members(Kind)
    return {str(kind): Said(said[kind.name], remedy(kind, "TXN")) for kind in Kind}


def _section(title: str, head: str, codes: Mapping[str, Said]) -> str:
    rows = "".join(
        f"| `{code}` | {said.means} | {said.helps or remedies.remedy(code)} |\n" for code, said in codes.items()
    )
    return f"\n## {title}\n\n{head}\n\n| code | what it means | what helps |\n|---|---|---|\n{rows}"
