"""All of them by name."""

from __future__ import annotations

from typing import Final

from tests.fuzz import amqp, kafka, requests, storage
from tests.fuzz.target import Target

TARGETS: Final[dict[str, Target]] = {
    target.name: target for module in (amqp, kafka, storage, requests) for target in module.TARGETS
}
