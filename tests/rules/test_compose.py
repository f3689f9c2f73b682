"""The compose file: no engine runs it here, so at least it is what Compose takes, and names what there is.

The schema is that of the Compose Specification, as check-jsonschema brings it.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import ValidationError
from jsonschema.validators import validator_for
from pydantic_settings import BaseSettings

from bridge.amqp_connection import CLOSE_TIMEOUT_S
from bridge.service import DRAIN_MAX_S
from bridge.settings import BridgeSettings
from bridge.watermarks import LEAVE_TIMEOUT_S
from streams.cli import COMMANDS
from streams.settings import ClientSettings, DeliverySettings, TrackerSettings
from tests.support.compose import FILE, OURS, ROOT, SERVICES, environment

# Not imported: it asks for another click than ours.
SCHEMA_FILE = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
SCHEMA: dict[str, Any] = json.loads(Path(str(SCHEMA_FILE)).read_text())
SETTINGS: dict[str, type[BaseSettings]] = {
    "setup": ClientSettings,
    "bridge": BridgeSettings,
    "tracker": TrackerSettings,
    "delivery": DeliverySettings,
}


def known(settings: type[BaseSettings]) -> set[str]:
    """Variables; the command line's are known everywhere, because it is run inside the containers."""
    return {f"BRH_{name.upper()}" for kind in (settings, ClientSettings) for name in kind.model_fields}


def ours() -> list[Any]:
    return [pytest.param(service, SETTINGS[name.partition("-")[0]], id=name) for name, service in OURS.items()]


def test_it_is_what_compose_takes() -> None:
    validator_for(SCHEMA)(SCHEMA).validate(FILE)


def test_what_compose_does_not_take_is_seen() -> None:
    wrong = {**FILE, "services": {**SERVICES, "bridge": {**SERVICES["bridge"], "prots": []}}}
    with pytest.raises(ValidationError):
        validator_for(SCHEMA)(SCHEMA).validate(wrong)


PORTS = {"bridge": 6068, "tracker": 6066, "delivery": 6067}


def test_a_container_is_healthy_when_its_process_is_ready() -> None:
    for name, service in OURS.items():
        if name != "setup":
            (url,) = re.findall(r"'(http://[^']+)'", service["healthcheck"]["test"][-1])
            assert url == f"http://127.0.0.1:{PORTS[name.partition('-')[0]]}/readyz", name


def test_an_image_says_which_version_and_revision_it_is_of() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    *_, last = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    # An argument counts in the stage that it is named in, and from there on.
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", last.rpartition("LABEL")[0], re.MULTILINE))
    assert arguments == {"VERSION": version[1], "REVISION": "unknown"}
    for name in arguments:
        assert f'org.opencontainers.image.{name.lower()}="${name}"' in last
    assert all(service["build"]["args"].keys() <= arguments.keys() for service in OURS.values())


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


# --- watching it

WATCHERS = {name for name, service in SERVICES.items() if service.get("profiles") == ["observe"]}


def services_of(address: str) -> tuple[str, int]:
    """Service and port of a URL or HOST:PORT."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def test_who_watches_is_only_there_when_it_is_asked_for_and_nobody_waits_for_it() -> None:
    assert {"prometheus", "grafana", "jaeger", "kafka-ui"} == WATCHERS
    for name, service in SERVICES.items():
        if name not in WATCHERS:
            assert not WATCHERS & set(service.get("depends_on", ())), name
            assert "profiles" not in service, name


def test_images_of_others_have_a_tag() -> None:
    for name, service in SERVICES.items():
        if name not in OURS:
            assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"]), name


def test_what_is_mounted_is_there() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    assert any(mount.startswith("./") for mount in mounts)
    for source, target, *_ in (mount.split(":") for mount in mounts):
        assert (ROOT / source).exists() if source.startswith("./") else source in FILE["volumes"], target


def test_what_prometheus_asks_is_there_and_it_has_the_token_for_it() -> None:
    prometheus = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    asked = {
        services_of(target)
        for job in prometheus["scrape_configs"]
        for each in job["static_configs"]
        for target in each["targets"]
    }
    binds = {
        (name, services_of(value)[1])
        for name, service in OURS.items()
        for variable, value in environment(service).items()
        if variable.endswith("_BIND")
    }
    assert asked == binds
    (config,) = SERVICES["prometheus"]["configs"]
    assert config == {"source": "read-token", "target": "/etc/prometheus/token"}
    assert FILE["configs"]["read-token"]["content"] == SERVICES["tracker-1"]["environment"]["BRH_API_READ_TOKEN"]


def test_what_grafana_shows_is_there() -> None:
    folder = ROOT / "ops/grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/datasources.yml").read_text())["datasources"]
    hosts = {each["type"]: services_of(each["url"]) for each in sources}
    assert hosts == {"prometheus": ("prometheus", 9090), "jaeger": ("jaeger", 16686)}
    (provider,) = yaml.safe_load((folder / "dashboards/dashboards.yml").read_text())["providers"]
    assert f"./ops/grafana:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    assert "./ops/grafana/provisioning:/etc/grafana/provisioning:ro" in SERVICES["grafana"]["volumes"]


def test_a_container_may_end_in_its_own_time() -> None:
    for name, service in OURS.items():
        assert float(service["stop_grace_period"].removesuffix("s")) > DRAIN_MAX_S, name


def test_a_bridge_ends_within_the_time_that_whoever_ends_it_gives_by_default() -> None:
    assert DRAIN_MAX_S + CLOSE_TIMEOUT_S + LEAVE_TIMEOUT_S < 10


def test_our_containers_write_only_where_they_keep_something() -> None:
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
