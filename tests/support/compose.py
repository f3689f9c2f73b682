"""What `docker-compose.yml` says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "big-result-handler"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """As the container gets it when nothing is set outside."""
    default = re.compile(r"\$\{\w+:-([^}]*)\}")
    return {name: default.sub(r"\1", str(value)) for name, value in service["environment"].items()}
