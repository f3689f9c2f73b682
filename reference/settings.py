"""`docs/settings.md`: every variable with its default, its bounds, and what is said under it in the settings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import annotated_types
import msgspec
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from bridge.durations import duration_text
from bridge.settings import BridgeSettings
from reference import docstrings
from streams.settings import ClientSettings, DeliverySettings, TrackerSettings
from tables.policies import EARLY_BYTES_MAX, EARLY_PAYLOADS_MAX, Limits

PROCESSES: Final[dict[str, type[BaseSettings]]] = {
    "bridge": BridgeSettings,
    "tracker": TrackerSettings,
    "delivery": DeliverySettings,
    "command line": ClientSettings,
}

ELSEWHERE: Final = {
    "BRH_SECRETS_DIR": "A folder with files named like variables in small letters, such as `brh_amqp_url`: what "
    "containers mount secrets as. Variables of the environment and `.env` come first.",
    "BRH_STACK_DIR": "Where `brh stack` keeps its services; `.brh/stack` otherwise.",
    "BRH_CACHE_DIR": "Where `brh stack` keeps what it has fetched; a folder in the user's cache otherwise.",
    "BRH_CRASH_FOLDER": "For tests only: a process ends itself at the crash points that files in this folder name.",
}
"""Variables that are no settings of a process."""

_HOUR_S: Final = 3_600

_HEAD: Final = """\
# Settings

<!-- Written by `python -m reference` from the code: change that instead. -->

Every process reads `BRH_*` from the environment, then from `.env`, then from `BRH_SECRETS_DIR`. Whatever is wrong
is named in one sentence, all of it at once, and the process does not start. `brh stack env` prints a set that works on
this machine.
"""

_TYPES: Final = """
## The types file

`BRH_TYPES_FILE` names a TOML file with limits and policies: `[default]` for all, also before the header has told the
type, and `[types.NAME]` for a transaction type; what is not named there is as in `[default]`. `header` and
`early_bytes_max` count only before the header has told the type: below a type they would do nothing, and are refused.
Times are ISO 8601 durations from PT1S to P6D: storage keeps uncommitted blocks for seven days. A header may set `idle`,
`awaiting`, `on_timeout` and `on_conflict` itself.

| entry | default | bounds | what it does |
|---|---|---|---|
"""


def settings_page() -> str:
    """The page."""
    return _HEAD + "".join(_groups()) + _others() + _TYPES + "".join(_limits())


def variables() -> set[str]:
    """Every variable that the page describes."""
    return {_variable(name) for cls in PROCESSES.values() for name in cls.model_fields} | {*ELSEWHERE}


def _variable(name: str) -> str:
    return f"BRH_{name.upper()}"


def _groups() -> Iterator[str]:
    """A table for each class of settings, in the order in which they are needed."""
    readers: dict[str, list[str]] = {}
    owners: dict[str, type] = {}
    for process, cls in PROCESSES.items():
        for name in cls.model_fields:
            readers.setdefault(name, []).append(process)
            owners.setdefault(name, next(each for each in reversed(cls.__mro__) if name in _annotations(each)))
    for owner in dict.fromkeys(owners.values()):
        title = " ".join((owner.__doc__ or "").split()).partition(":")[0].rstrip(".")
        yield f"\n## {title}\n\n| variable | default | bounds | what it does | read by |\n|---|---|---|---|---|\n"
        for name in (name for name, each in owners.items() if each is owner):
            cls = PROCESSES[readers[name][0]]
            yield _row(name, cls.model_fields[name], docstrings.members(cls).get(name, ""), readers[name])


def _annotations(cls: type) -> dict[str, Any]:
    return inspect.get_annotations(cls) if issubclass(cls, BaseSettings) else {}


def _row(name: str, field: FieldInfo, said: str, readers: list[str]) -> str:
    who = "all" if len(readers) == len(PROCESSES) else ", ".join(readers)
    return f"| `{_variable(name)}` | {_default(name, field)} | {_bounds(field)} | {_cell(said)} | {who} |\n"


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "none"
    return _shown(name, value.as_posix() if isinstance(value, Path) else value)


def _shown(name: str, value: Any) -> str:
    """A value as somebody writes it, and what it is."""
    if not isinstance(value, int | float):
        return f"`{value}`"
    plain = f"{value:g}" if isinstance(value, float) and value != int(value) else f"{int(value)}"
    if name.endswith("_s") and value >= _HOUR_S:
        return f"`{plain}` ({duration_text(value)})"
    return f"`{plain}`"


def _bounds(field: FieldInfo) -> str:
    found = []
    if get_origin(field.annotation) is Literal:
        found.append(", ".join(f"`{each}`" for each in get_args(field.annotation)))
    for each in field.metadata:
        match each:
            case annotated_types.Ge(ge=low):
                found.append(f"from {low}")
            case annotated_types.Le(le=high):
                found.append(f"to {high}")
        if pattern := getattr(each, "pattern", None):
            found.append(f"`{_cell(pattern)}`")
        if rule := getattr(getattr(each, "func", None), "__doc__", None):
            found.append(" ".join(rule.split()).rstrip("."))
    return "; ".join(found).replace("; to ", " to ") or "-"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _others() -> str:
    rows = "".join(f"| `{name}` | {said} |\n" for name, said in ELSEWHERE.items())
    return f"\n## Others\n\n| variable | what it does |\n|---|---|\n{rows}"


def _limits() -> Iterator[str]:
    said = docstrings.members(Limits)
    bounds = {
        "on_timeout": "`abandon`, `partial`",
        "on_conflict": "`fail`, `keep-first`",
        "early_payloads_max": f"from 1 to {EARLY_PAYLOADS_MAX}",
        "early_bytes_max": f"from 1 to {EARLY_BYTES_MAX}",
    }
    for field in msgspec.structs.fields(Limits):
        time = field.name.endswith("_s")
        default = duration_text(field.default) if time else field.default
        name = field.name.removesuffix("_s")
        yield f"| `{name}` | `{default}` | {bounds.get(name, 'PT1S to P6D')} | {said[field.name]} |\n"
