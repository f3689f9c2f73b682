"""The documents of docs/schemas and docs/asyncapi.yaml, as anybody reads them who only has these files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, FormatChecker

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@cache
def validator(name: str) -> Draft7Validator:
    """Of documents that the schema of this name describes."""
    return Draft7Validator(json.loads((SCHEMAS / f"{name}.json").read_text()), format_checker=FormatChecker())


def wrong(name: str, document: Any) -> list[str]:
    """What the schema finds wrong, each as the place and what is expected there."""
    return [f"{error.json_path}: {error.message[:300]}" for error in validator(name).iter_errors(document)]


def wrong_event(body: bytes) -> list[str]:
    """The same of a CloudEvent; which schema it has says its type."""
    event = json.loads(body)
    return wrong(event["type"].removeprefix("brh.").removesuffix(".v1"), event)
