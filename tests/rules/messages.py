"""Every message that somebody may be told, as it stands in the sources: its code, what it says, and what helps."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

ROOT: Final = Path(__file__).parents[2]
_DEPTH_MAX: Final = 6
"""Of names that are names for other names."""


class Hole(NamedTuple):
    """Something that is known only when the message is made."""

    source: str
    parameter: bool = False
    """Of the function that makes the message: what is said comes from who calls it."""


Text: TypeAlias = tuple[str | Hole, ...]
"""What is said, in the order of its pieces."""


class Maker(NamedTuple):
    """A call that makes a message."""

    signature: str
    """Names of its arguments: `code`, `says`, `helps` and `thing`, which is named beside what is said."""
    code: str = ""
    """Of all that it makes, where that is no argument."""


PROBLEM: Final = Maker("code title says")
MAKERS: Final[Mapping[str, Maker | None]] = {
    "CliError": Maker("says code helps"),
    "StackError": Maker("says code helps"),
    "interrupted": Maker("says helps", "interrupted"),
    "storage_failed": Maker("says again", "blobs-unavailable"),
    "missing._wrong": Maker("says code helps"),
    "service._error": Maker("says code"),
    "install._run": Maker("command folder code"),
    "problem": Maker("status code title says"),
    "_problem": PROBLEM,
    "Problem": PROBLEM,
    "_late": Maker("transaction code title"),
    "Contradiction": Maker("code about title says"),
    "_other_total": Maker("name said title says", "conflicting-total-count"),
    "Denied": Maker("status code title says challenge"),
    "Rejected": Maker("code says"),
    "_UnfitError": Maker("says", "bad-header-body"),
    "envelope._refuse": Maker("code thing found says"),
    "warn": Maker("thing says helps"),
    "fail": Maker("thing says helps"),
    "joined": Maker("thing right says helps status"),
    "finding": Maker("code thing says"),
    "SettingsError": Maker("says", "bad-settings"),
    "BadParameter": Maker("thing found says", "bad-parameter"),
    "NotReady": Maker("says", "not-ready"),
    "TopologyError": Maker("says", "setup-refused"),
    "ProvisionError": Maker("says", "setup-refused"),
    "GaveUpError": Maker("says", "gave-up"),
    "BlobsRefused": Maker("says", "blobs-refused"),
    "BlobsUnavailable": Maker("says", "blobs-unavailable"),
    "click.UsageError": Maker("says", "usage"),
    "click.BadParameter": Maker("says thing", "usage"),
    "self.fail": Maker("says", "usage"),
    # They are called like makers, and are none, or what they are given was made by one.
    "conflicts._problem": None,
    "rules._late": None,
    "openapi._problem": None,
    "show.problem": None,
}
"""By the name that it is called by: the last one, with the file's or what stands before it where that tells more."""
_WORDS: Final = {
    "message": "says",
    "detail": "says",
    "reason": "says",
    "remedy": "helps",
    "param_hint": "thing",
}
"""How makers call their arguments."""


class Message(NamedTuple):
    """One call of a maker."""

    place: str
    """`file:line`"""
    maker: str
    within: str
    """The function that calls it."""
    said: Mapping[str, list[Text]]
    """By argument: everything that it may be."""


class Source:
    """A file of ours."""

    def __init__(self, file: Path, root: Path = ROOT) -> None:
        self.name = str(file.relative_to(root))
        self._module = self.name.removesuffix(".py").replace("/", ".") if root == ROOT else __name__
        self.tree = ast.parse(file.read_text())
        self._outer = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def _globals(self) -> dict[str, Any]:
        return vars(importlib.import_module(self._module))

    def messages(self) -> Iterator[Message]:
        """All that are made here."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (known := self._maker(node)):
                name, maker = known
                given = dict(zip(maker.signature.split(), node.args, strict=False))
                given |= {_WORDS.get(each.arg, each.arg): each.value for each in node.keywords if each.arg}
                said = {each: self.texts(value) for each, value in given.items()}
                if maker.code:
                    said["code"] = [(maker.code,)]
                yield Message(f"{self.name}:{node.lineno}", name, self._within(node), said)

    def endings(self) -> Iterator[tuple[str, ast.expr]]:
        """What ends a process with a text, and where."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("SystemExit", "sys.exit") and node.args:
                yield f"{self.name}:{node.lineno}", node.args[0]

    def _maker(self, node: ast.Call) -> tuple[str, Maker] | None:
        called = ast.unparse(node.func)
        last = called.rpartition(".")[2]
        for name in (f"{Path(self.name).stem}.{last}", called, last):
            if name in MAKERS:
                maker = MAKERS[name]
                return (name, maker) if maker else None
        return None

    def _within(self, node: ast.AST) -> str:
        """The function around a node, by the name that it is called by."""
        functions = self._functions(node)
        if not functions:
            return ""
        outer = self._outer.get(functions[0])
        return outer.name if functions[0].name == "__init__" and isinstance(outer, ast.ClassDef) else functions[0].name

    def _functions(self, node: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """The functions around a node, the innermost first."""
        found = []
        while (outer := self._outer.get(node)) is not None:
            if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(outer)
            node = outer
        return found

    def texts(self, node: ast.expr, depth: int = 0) -> list[Text]:
        """Everything that an expression may say."""
        hole: list[Text] = [(Hole(ast.unparse(node)),)]
        if depth > _DEPTH_MAX:
            return hole
        match node:
            case ast.Constant(value=str(text)):
                return [(text,)]
            case ast.JoinedStr(values=pieces):
                return [sum(each, ()) for each in product(*(self.texts(piece, depth + 1) for piece in pieces))]
            case ast.FormattedValue(value=value):
                return self.texts(value, depth + 1)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return [one + other for one in self.texts(left, depth + 1) for other in self.texts(right, depth + 1)]
            case ast.IfExp(body=one, orelse=other):
                return [*self.texts(one, depth + 1), *self.texts(other, depth + 1)]
            case ast.BoolOp(op=ast.Or(), values=values):
                return [text for each in values for text in self.texts(each, depth + 1)]
            case ast.Name(id=name):
                return self._named(node, name, depth) or self._constant(node) or hole
            case ast.Attribute():
                return self._constant(node) or hole
            case _:
                return self._computed(node, depth) or hole

    def _computed(self, node: ast.expr, depth: int) -> list[Text]:
        """What comes out of a call or of several texts; nothing where only a run can tell."""
        match node:
            case ast.Call(func=ast.Name(id="str"), args=[value]):
                return self.texts(value, depth + 1)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get"), args=[_, other]):
                known = self._globals.get(name)
                texts = [(each,) for each in known.values()] if isinstance(known, dict) else []
                return texts and [*texts, *self.texts(other, depth + 1)]
            case ast.GeneratorExp(elt=each) | ast.ListComp(elt=each):
                return self.texts(each, depth + 1)
            case ast.List(elts=several):
                return [text for each in several for text in self.texts(each, depth + 1)]
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(at))):
                pairs = [each.elts for each in self._values(node, name) if isinstance(each, ast.Tuple)]
                return [text for each in pairs for text in self.texts(each[at], depth + 1)]
            case _:
                return []

    def _named(self, node: ast.AST, name: str, depth: int) -> list[Text]:
        """What a name of a function holds; nothing for a name of the module."""
        for function in self._functions(node):
            if values := self._values(node, name):
                return [text for value in values for text in self.texts(value, depth + 1)]
            arguments = function.args
            if name in {each.arg for each in (*arguments.args, *arguments.kwonlyargs)}:
                return [(Hole(name, parameter=True),)]
            if any(isinstance(each, ast.Name) and each.id == name and _stored(each) for each in ast.walk(function)):
                return [(Hole(name),)]
        return []

    def _values(self, node: ast.AST, name: str) -> list[ast.expr]:
        """What the function around a node has given a name before it."""
        around = self._functions(node)[:1]
        found = [value for function in around for each in ast.walk(function) for value in _given(each, name)]
        return [each for each in found if each.lineno <= node.lineno]  # type: ignore[attr-defined]

    def _constant(self, node: ast.Name | ast.Attribute) -> list[Text]:
        """What a constant of the module says."""
        first = node
        while isinstance(first, ast.Attribute):
            first = first.value  # type: ignore[assignment]  # whatever stands before the dots
        if not isinstance(first, ast.Name) or self._named(node, first.id, _DEPTH_MAX):
            return []
        try:
            found = eval(ast.unparse(node), self._globals)  # a name with dots, in a file of ours
        except (AttributeError, NameError):
            return []
        return [(str(found),)] if isinstance(found, str) else []


def _stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _given(node: ast.AST, name: str) -> Iterator[ast.expr]:
    """What a statement gives a name."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                match target, value:
                    case ast.Name(id=one), _ if one == name:
                        yield value
                    case ast.Tuple(elts=names), ast.Tuple(elts=values):
                        yield from (
                            each
                            for one, each in zip(names, values, strict=False)
                            if isinstance(one, ast.Name) and one.id == name
                        )
        case ast.NamedExpr(target=ast.Name(id=one), value=value) if one == name:
            yield value


@cache
def sources() -> list[Source]:
    """All of ours."""
    return [Source(file) for room in ("bridge", "tables", "streams") for file in sorted((ROOT / room).rglob("*.py"))]
