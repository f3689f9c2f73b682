"""One real stack for the whole run: RabbitMQ, Kafka and Azurite, started when the first test asks for them."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from streams.stack import Stack
from tests.support.world import World

# A deadline of an example, or how fast examples come, would measure what else the machine is doing.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several run side by side, the short ones come last: they fill what the long ones leave."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: "rules" in item.path.parts)


@pytest.fixture(scope="session")
def stack_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The `BRH_*` settings of a stack that lives as long as the test run."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.up()
    yield stack.env()
    stack.down(wipe=True)


@pytest.fixture(scope="session")
def blob_connection_string(stack_env: dict[str, str]) -> str:
    """Where the emulator is."""
    return stack_env["BRH_BLOB_CONNECTION_STRING"]


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """For tests in whose own process a command sets up the log: afterwards it is as it was."""
    root, structured = logging.root, structlog.get_config()
    handlers, level, logger_class = root.handlers[:], root.level, logging.getLoggerClass()
    hooks, streams = (sys.excepthook, threading.excepthook, sys.unraisablehook), (sys.stdout, sys.stderr)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLoggerClass(logger_class)
    logging.captureWarnings(False)
    structlog.configure(**structured)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    sys.stdout, sys.stderr = streams


@pytest.fixture
def make_world(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Installations for one test: `make_world(trackers=2)`; all are taken down after it."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(stack_env, tmp_path / f"world-{len(worlds)}", **options))
        worlds[-1].start()
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()


@pytest.fixture(scope="module")
def world(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation that the tests of a module share; each uses transactions of its own."""
    shared = World(stack_env, tmp_path_factory.mktemp("world"), trackers=2)
    shared.start()
    yield shared
    shared.stop()
