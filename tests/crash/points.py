"""The crash points that are in the code, found by reading it: whoever adds a step cannot forget its test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from bridge import crash_points as seam

ROOT = Path(__file__).parents[2]
ROOMS = ("bridge", "tables", "streams")


class BadPoint(Exception):
    """A crash point that nobody could find by its name."""


def crash_points(rooms: tuple[Path, ...] = tuple(ROOT / room for room in ROOMS)) -> dict[str, str]:
    """Where each point is, by its name. Raises BadPoint for a name that is used twice, or is not written out."""
    found: dict[str, str] = {}
    for path in sorted(path for room in rooms for path in room.rglob("*.py") if path.name != Path(seam.__file__).name):
        for name, place in _in_file(path):
            if name in found:
                raise BadPoint(f"{place}: {name} is also at {found[name]}")
            found[name] = place
    return found


def _in_file(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        place = f"{path.parent.name}/{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.alias) and node.name == "crash_point" and node.asname is not None:
            raise BadPoint(f"{place}: the seam goes by another name")
        if isinstance(node, ast.Call) and _called(node.func) == "crash_point":
            match node.args, node.keywords:
                case [ast.Constant(value=str(name))], []:
                    yield name, place
                case _:
                    raise BadPoint(f"{place}: the name of a crash point is one string, written out")


def _called(function: ast.expr) -> str | None:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None
