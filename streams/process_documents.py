"""What a tracker answers about itself, and why it cannot answer: for `/openapi.json`, as `streams.api_documents`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from streams.api_documents import Answer, Time


class Alive(Answer, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class Ready(Answer, frozen=True):
    """The tables are recovered."""

    status: Literal["ready"]


class Version(Answer, frozen=True):
    """What is installed."""

    version: str
    api: Literal["v1"]


class ApiProblem(Answer, frozen=True):
    """RFC 9457: what is wrong with a request, or why it cannot be answered just now."""

    type: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^urn:brh:problem:"})]
    title: str
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: str
    code: str
    remedy: str
    """What helps, in a sentence."""
    parameter: str | UnsetType = UNSET
    """The one that is wrong."""
    latest: Time | UnsetType = UNSET
    """Until when a transaction can wait at most."""
