"""What an examination says: each thing that was looked at, whether it is right, and what helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Status = Literal["ok", "warn", "fail"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    """`system.thing`, stable."""
    status: Status
    """`warn`: it works, and something will hurt one day, or could not be looked at. `fail`: results are at risk."""
    detail: str
    remedy: str = ""
    """What to do; empty when there is nothing to do."""


def ok(name: str, detail: str) -> Check:
    """Nothing to do."""
    return Check(name=name, status="ok", detail=detail)


def warn(name: str, detail: str, remedy: str) -> Check:
    """Something to do one day."""
    return Check(name=name, status="warn", detail=detail, remedy=remedy)


def fail(name: str, detail: str, remedy: str) -> Check:
    """Something to do now."""
    return Check(name=name, status="fail", detail=detail, remedy=remedy)


def joined(name: str, right: str, wrong: Iterable[str], remedy: str, status: Status = "fail") -> Check:
    """One check of many things of a kind: `right` when nothing is wrong."""
    found = "; ".join(wrong)
    return Check(name=name, status=status, detail=found, remedy=remedy) if found else ok(name, right)
