"""What stands under the members of a class: Python keeps it nowhere but in the source."""

from __future__ import annotations

import ast
import inspect
import textwrap


def members(cls: type) -> dict[str, str]:
    """The string under each annotated member or assignment, in one line; what the class inherits is included."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if each.__module__.partition(".")[0] in {"bridge", "tables", "streams", "reference"}:
            found |= _own(each)
    return found


def _own(cls: type) -> dict[str, str]:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for member, behind in zip(node.body, node.body[1:], strict=False):
        match member, behind:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found
