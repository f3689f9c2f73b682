"""Every file that is written from the code, by its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from reference.asyncapi import asyncapi
from reference.cli import page as cli
from reference.codes import codes_page
from reference.dashboards import dashboards, text
from reference.metrics import page as metrics
from reference.schemas import schemas
from reference.settings import settings_page
from streams.openapi import openapi

DOCS: Final = Path(__file__).parents[1] / "docs"
_WRITTEN_BY: Final = "# Written by `python -m reference` from the code: change that instead.\n"


class _Plain(yaml.SafeDumper):
    """Without anchors: a reader should find each thing where it belongs."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _schemas() -> dict[str, str]:
    return {f"schemas/{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas().items()}


def _asyncapi() -> dict[str, str]:
    text = yaml.dump(asyncapi(), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
    return {"asyncapi.yaml": _WRITTEN_BY + text}


def _cli() -> dict[str, str]:
    return {"cli.md": cli()}


def _openapi() -> dict[str, str]:
    return {"openapi.json": json.dumps(openapi(), indent=2) + "\n"}


def _metrics() -> dict[str, str]:
    return {"metrics.md": metrics()}


def _dashboards() -> dict[str, str]:
    return {f"../ops/grafana/{name}.json": text(board) for name, board in dashboards().items()}


def _tables() -> dict[str, str]:
    return {"settings.md": settings_page(), "codes.md": codes_page()}


_PAGES: Final[tuple[Callable[[], dict[str, str]], ...]] = (
    _schemas,
    _asyncapi,
    _openapi,
    _cli,
    _metrics,
    _dashboards,
    _tables,
)


def pages() -> dict[str, str]:
    """The content of each file, by its path from `docs`."""
    return {path: text for page in _PAGES for path, text in page().items()}


def differing() -> list[str]:
    """Files below `docs` that are not as the code says, or that the code does not know."""
    wanted = pages()
    stale = [path for path, text in wanted.items() if not (DOCS / path).is_file() or (DOCS / path).read_text() != text]
    unknown = [f"schemas/{each.name}" for each in DOCS.glob("schemas/*") if f"schemas/{each.name}" not in wanted]
    return sorted([*stale, *unknown])


def write() -> list[str]:
    """Make all files as the code says. Returns those that were not."""
    changed, wanted = differing(), pages()
    for path in changed:
        file = DOCS / path
        if path not in wanted:
            file.unlink()
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted[path])
    return changed
