"""Bugs that can be put into the product by name: each takes out one thing that the product does on purpose.

A bug knows the tests that have to find it. Nothing of this is in the product: it is put over it from outside.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

Put = Callable[[Any, str, Any], None]
"""Put something in the place of a member of a module or a class."""


class Bug(NamedTuple):
    """One mistake."""

    name: str
    says: str
    plant: Callable[[Put], None]
    found_by: str
    """The test, as pytest names it."""
    stack: bool
    """That test needs the real services."""


BUGS: Final[dict[str, Bug]] = {}
_MODULES: Final = ("deciding", "delivering", "keeping", "taking_in", "wiring")


def bug(found_by: str, *, stack: bool = False) -> Callable[[Callable[[Put], None]], Callable[[Put], None]]:
    """A function that plants a bug; its name and docstring are those of the bug."""

    def register(plant: Callable[[Put], None]) -> Callable[[Put], None]:
        name = plant.__name__.replace("_", "-")
        assert name not in BUGS, f"there are two bugs {name}"
        BUGS[name] = Bug(name, " ".join((plant.__doc__ or "").split()), plant, f"tests/{found_by}", stack)
        return plant

    return register


def all_bugs() -> dict[str, Bug]:
    """By name, in the order of the product's rooms."""
    for module in _MODULES:
        importlib.import_module(f"tests.teeth.{module}")
    return BUGS


def plant(name: str) -> None:
    """Put a bug into this process, for good."""
    found = all_bugs().get(name)
    if found is None:
        raise SystemExit(f"there is no bug {name}; there are {', '.join(sorted(BUGS))}")
    found.plant(_put)


def _put(owner: Any, name: str, value: Any) -> None:
    # A bug that is put where nobody looks would be found by nothing: the product has moved on.
    assert name in vars(owner), f"{owner.__name__} has no {name} of its own any more"
    setattr(owner, name, value)
