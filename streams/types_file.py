"""The types file: limits and policies for each transaction type, in TOML (`BRH_TYPES_FILE`).

[default]                 # also before the header has told the type
header = "PT10M"
on_timeout = "abandon"    # or "partial"
[types.valuation]         # what is not named here is as in [default]
awaiting = "PT2H"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from bridge.contract.inbound import is_transaction_type
from bridge.durations import EXPECTED_LIMIT, limit_s
from bridge.quoting import quoted
from bridge.settings import SettingsError
from tables.policies import EARLY_BYTES_MAX, EARLY_PAYLOADS_MAX, Limits, Policies

_DURATIONS: Final = {name: f"{name}_s" for name in ("header", "idle", "awaiting", "completing", "completing_max")}
_CHOICES: Final = {"on_timeout": ("abandon", "partial"), "on_conflict": ("fail", "keep-first")}
_COUNTS: Final = {"early_payloads_max": EARLY_PAYLOADS_MAX, "early_bytes_max": EARLY_BYTES_MAX}
_NAMES: Final = (*_DURATIONS, *_CHOICES, *_COUNTS)
_BEFORE_THE_TYPE: Final = ("header", "early_bytes_max")
"""What counts only until the header has come, and so for no type. `early_payloads_max` counts with the header as well:
for what is kept of series that it does not list."""


def load_policies(path: Path | None) -> Policies:
    """The policies in the file, or the defaults without one. Raises SettingsError that names every wrong entry."""
    if path is None:
        return Policies()
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"BRH_TYPES_FILE: {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"BRH_TYPES_FILE: {path} is not TOML: {error}") from None
    wrong: list[str] = []
    policies = _policies(found, wrong)
    if wrong:
        raise SettingsError(f"BRH_TYPES_FILE: {path}: " + "; ".join(wrong))
    return policies


def _policies(found: Mapping[str, Any], wrong: list[str]) -> Policies:
    wrong += [f"{quoted(name)} is none of default, types" for name in found if name not in {"default", "types"}]
    default = _limits("default", found.get("default", {}), Limits(), wrong)
    types = found.get("types", {})
    if not isinstance(types, dict):
        wrong.append("types is not a table")
        return Policies(default)
    wrong += [
        f"types.{quoted(name)}: no transaction type can be called that"
        for name in types
        if not is_transaction_type(name)
    ]
    of_types = {name: _limits(f"types.{name}", said, default, wrong, _BEFORE_THE_TYPE) for name, said in types.items()}
    return Policies(default, of_types)


def _limits(where: str, said: object, base: Limits, wrong: list[str], dead: Sequence[str] = ()) -> Limits:
    """What stands at one place of the file; `dead` are entries that would do nothing there."""
    if not isinstance(said, dict):
        wrong.append(f"{where} is not a table")
        return base
    changes: dict[str, Any] = {}
    for name, value in said.items():
        if name not in _NAMES:
            wrong.append(f"{where}.{quoted(name)} is none of {', '.join(_NAMES)}")
        elif name in dead:
            wrong.append(f"{where}.{name} counts before the header tells the type, so never here: set it in [default]")
        elif (expected := _expected(name, value)) is not None:
            wrong.append(f"{where}.{name} is {quoted(value)}, expected {expected}")
        else:
            changes[_DURATIONS.get(str(name), str(name))] = limit_s(value) if name in _DURATIONS else value
    limits = replace(base, **changes)
    if limits.completing_s > limits.completing_max_s:
        wrong.append(f"{where}: completing is longer than completing_max, so nobody would ever be told")
    return limits


def _expected(name: str, value: object) -> str | None:
    """What the entry should be; None when it is that."""
    if name in _DURATIONS:
        return None if isinstance(value, str) and limit_s(value) is not None else EXPECTED_LIMIT
    if name in _CHOICES:
        return None if value in _CHOICES[name] else " or ".join(_CHOICES[name])
    most = _COUNTS[name]
    return None if type(value) is int and 1 <= value <= most else f"an integer from 1 to {most}"
