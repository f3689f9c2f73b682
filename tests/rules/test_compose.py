"""The compose file: no engine runs it here, so at least it names what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from bridge.settings import BridgeSettings
from streams.cli import COMMANDS
from streams.settings import ClientSettings, DeliverySettings, TrackerSettings

FILE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "big-result-handler"}
SETTINGS: dict[str, type[BaseSettings]] = {
    "setup": ClientSettings,
    "bridge": BridgeSettings,
    "tracker": TrackerSettings,
    "delivery": DeliverySettings,
}


def known(settings: type[BaseSettings]) -> set[str]:
    """Variables; the command line's are known everywhere, because it is run inside the containers."""
    return {f"BRH_{name.upper()}" for kind in (settings, ClientSettings) for name in kind.model_fields}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """As the container gets it when nothing is set outside."""
    default = re.compile(r"\$\{\w+:-([^}]*)\}")
    return {name: default.sub(r"\1", str(value)) for name, value in service["environment"].items()}


def ours() -> list[Any]:
    return [pytest.param(service, SETTINGS[name.partition("-")[0]], id=name) for name, service in OURS.items()]


def test_there_are_two_of_what_takes_over_from_each_other() -> None:
    assert set(OURS) == {"setup", "bridge", "tracker-1", "tracker-2", "delivery-1", "delivery-2"}


@pytest.mark.parametrize(("service", "settings"), ours())
def test_the_settings_of_a_container_exist_and_are_right(
    service: dict[str, Any], settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment(service)
    assert set(given) <= known(settings)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings()


@pytest.mark.parametrize(("service", "settings"), ours())
def test_the_command_of_a_container_exists(service: dict[str, Any], settings: type[BaseSettings]) -> None:
    match service["command"]:
        case ["brh", command]:
            assert command in COMMANDS
        case ["faust", "-A", "streams.app" | "streams.delivery", "worker", *_]:
            pass
        case other:
            raise AssertionError(f"nobody knows {other}")


def test_workers_have_names_and_volumes_of_their_own() -> None:
    workers = {name: service for name, service in OURS.items() if service.get("volumes")}
    assert {service["environment"]["BRH_WORKER_ID"] for service in workers.values()} == set(workers)
    assert {volume.partition(":")[0] for service in workers.values() for volume in service["volumes"]} <= set(
        FILE["volumes"]
    )
    assert {service["environment"].get("BRH_API_ADVERTISED_HOST", name) for name, service in workers.items()} == set(
        workers
    )


def test_prometheus_can_reach_the_metrics_of_every_process() -> None:
    binds = {
        name: value
        for name, service in OURS.items()
        for variable, value in environment(service).items()
        if variable.endswith("_BIND")
    }
    assert set(binds) == set(OURS) - {"setup"}
    assert all(bind.startswith("0.0.0.0:") for bind in binds.values())


def test_only_this_machine_reaches_the_ports() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
