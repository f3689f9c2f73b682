"""The examples as somebody runs them who has copied them: with their own clients, and none of our packages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from streams.stack import programs
from tests.support.world import World

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PLACE = ROOT / ".brh" / "examples"
CHUNK_BYTES = 300_000
"""Above the limit of small payloads, so that the last chunk of a file is small and the others are not."""


@dataclass(frozen=True)
class Tools:
    """Commands that begin an example."""

    producers: Mapping[str, list[str]]
    python: Path

    def reader(self, name: str) -> list[str]:
        return [str(self.python), str(EXAMPLES / "python" / name)]


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Everything that the examples need, installed and compiled."""
    subprocess.run([ROOT / "scripts" / "examples"], check=True, timeout=600)
    folder = tmp_path_factory.mktemp("examples")
    python = PLACE / "python" / "bin" / "python"
    script = folder / "produce.mjs"  # modules are looked for beside the file
    script.write_bytes((EXAMPLES / "node" / "produce.mjs").read_bytes())
    (folder / "node_modules").symlink_to(PLACE / "node" / "node_modules")
    return Tools(
        {
            "pika": [str(python), str(EXAMPLES / "python" / "produce_pika.py")],
            "aio-pika": [str(python), str(EXAMPLES / "python" / "produce_aio_pika.py")],
            "node": [str(programs.node()), str(script)],
            "java": _compiled(folder),
            "shell": [str(EXAMPLES / "shell" / "produce.sh")],
        },
        python,
    )


def _compiled(folder: Path) -> list[str]:
    """There is a Java in the wheels, but no compiler."""
    (compiler,) = (PLACE / "java").glob("ecj-*.jar")
    jars = f"{PLACE / 'java'}/*"
    classes = folder / "classes"
    options = ["-17", "-cp", ":".join(map(str, (PLACE / "java").glob("*.jar"))), "-d", str(classes)]
    source = EXAMPLES / "java" / "Produce.java"
    done = subprocess.run([programs.java(), "-jar", compiler, *options, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [str(programs.java()), "-cp", f"{classes}:{jars}", "Produce"]


def environment(world: World, **more: str) -> dict[str, str]:
    """Where an example finds the installation."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("BRH_", "PYTHON"))},
        "BRH_AMQP_URL": world.amqp_url,
        "BRH_RABBITMQ_MANAGEMENT_URL": world.env["BRH_RABBITMQ_MANAGEMENT_URL"],
        "BRH_VHOST": urlsplit(world.amqp_url).path.strip("/"),
        "BRH_BLOB_CONNECTION_STRING": world.env["BRH_BLOB_CONNECTION_STRING"],
        "BRH_BLOB_CONTAINER": world.env["BRH_BLOB_CONTAINER"],
        **more,
    }
