"""The manifests: no cluster runs them here, so at least they are what Kubernetes takes, and name what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic_settings import BaseSettings

from bridge.settings import BridgeSettings, load
from streams.cli import COMMANDS
from streams.settings import ClientSettings, DeliverySettings, TrackerSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "ops" / "kubernetes"
VERSION = "1.33"
"""Of the schemas. What is used has been there for longer."""
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
SETTINGS: dict[str, type[BaseSettings]] = {
    "setup": ClientSettings,
    "bridge": BridgeSettings,
    "tracker": TrackerSettings,
    "delivery": DeliverySettings,
}
PORTS = {"bridge": 6068, "tracker": 6066, "delivery": 6067}
PATHS = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
BINDS = {"bridge": "BRH_BRIDGE_BIND", "tracker": "BRH_API_BIND", "delivery": "BRH_DELIVERY_BIND"}
COMMON = dict(line.split("=", 1) for line in (FOLDER / "settings.env").read_text().splitlines())
MANIFESTS = [
    pytest.param(each, id=f"{name}-{each['kind']}-{each['metadata']['name']}")
    for name in KUSTOMIZATION["resources"]
    for each in yaml.safe_load_all((FOLDER / name).read_text())
]
BY_NAME = {(each.values[0]["kind"], each.values[0]["metadata"]["name"]): each.values[0] for each in MANIFESTS}


def pods() -> Iterator[Any]:
    for (kind, _), each in BY_NAME.items():
        if kind in {"Deployment", "StatefulSet", "Job"}:
            spec = each["spec"]["template"]["spec"]
            yield pytest.param(spec["containers"][0]["name"], spec, id=spec["containers"][0]["name"])


pods_of_all = pytest.mark.parametrize(("role", "pod"), list(pods()))


def test_the_kustomization_names_every_file() -> None:
    assert set(KUSTOMIZATION["resources"]) == {each.name for each in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert KUSTOMIZATION["configMapGenerator"] == [{"name": "brh-settings", "envs": ["settings.env"]}]
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert KUSTOMIZATION["images"] == [{"name": "big-result-handler", "newTag": version[1]}]
    assert ("Job", f"brh-setup-{version[1].replace('.', '-')}") in BY_NAME


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_it_is_what_kubernetes_takes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_what_kubernetes_does_not_take_is_seen() -> None:
    wrong = {**BY_NAME["Deployment", "brh-bridge"], "spec": {"replicas": "two"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


@pods_of_all
def test_a_process_starts_with_its_settings_and_secrets(
    role: str, pod: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In production, with the secrets that docs/how-to/kubernetes.md asks for."""
    monkeypatch.chdir(tmp_path)
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "brh-settings"}}]
    own = {each["name"]: each.get("value", f"brh-{role}-0") for each in container.get("env", [])}
    known = {f"BRH_{name.upper()}" for name in SETTINGS[role].model_fields} | {"BRH_SECRETS_DIR"}
    everybodys = {f"BRH_{name.upper()}" for kind in SETTINGS.values() for name in kind.model_fields}
    assert own.keys() <= known
    assert COMMON.keys() <= everybodys | {"BRH_SECRETS_DIR"}
    for name, value in {**COMMON, **own}.items():
        monkeypatch.setenv(name, value.replace("$(BRH_WORKER_ID)", f"brh-{role}-0"))
    (secrets,) = [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each]
    for name in asked_for(secrets):
        assert f"BRH_{name.removeprefix('brh_').upper()}" in known
        scheme = "https" if "management" in name else "amqps"
        secret = f"{scheme}://brh-{role}:s3cret@rabbitmq.example/brh" if name.endswith("_url") else "s3cret"
        (tmp_path / name).write_text(secret)
    monkeypatch.setitem(SETTINGS[role].model_config, "secrets_dir", tmp_path)
    assert load(SETTINGS[role]).model_dump()["profile"] == "production"


def asked_for(secret: str) -> list[str]:
    """The keys of a secret, as the guide has them; `the same` means those of the row above."""
    rows = re.findall(r"^ +\| `(brh-\w+)` \| (.+) \|$", (ROOT / "docs/how-to/kubernetes.md").read_text(), re.MULTILINE)
    keys: list[str] = []
    for name, told in rows:
        keys = keys if told == "the same" else re.findall(r"`(brh_\w+)`", told)
        if name == secret:
            return keys
    raise AssertionError(f"docs/how-to/kubernetes.md does not say what is in {secret}")


@pods_of_all
def test_the_command_of_a_container_exists(role: str, pod: dict[str, Any]) -> None:
    match pod["containers"][0]["args"]:
        case ["brh", command]:
            assert command in COMMANDS
        case ["faust", "-A", module, "worker", "-l", "info"]:
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
        case other:
            pytest.fail(f"{role} runs {other}")


@pods_of_all
def test_a_pod_may_do_nothing_that_it_need_not(role: str, pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert ("ServiceAccount", pod["serviceAccountName"]) in BY_NAME
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    user = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert user is not None
    assert context["runAsUser"] == int(user[1])
    (container,) = pod["containers"]
    own = container["securityContext"]
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"].keys() == {"memory"}
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    assert mounted == {"/var/lib/brh", "/tmp", COMMON["BRH_SECRETS_DIR"]}
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}


@pods_of_all
def test_who_looks_whether_it_lives_asks_for_something_that_is_there(role: str, pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    probes = {name: container[name] for name in PATHS if name in container}
    assert len(probes) == (0 if role == "setup" else 3)
    for name, probe in probes.items():
        (port,) = (each["containerPort"] for each in container["ports"] if each["name"] == probe["httpGet"]["port"])
        assert port == PORTS[role]
        assert probe["httpGet"]["path"] == PATHS[name]
    if probes:
        env = {each["name"]: each.get("value") for each in container["env"]}
        assert env[BINDS[role]] == f"0.0.0.0:{PORTS[role]}"


@pytest.mark.parametrize("role", sorted(PORTS))
def test_what_selects_pods_finds_them(role: str) -> None:
    (workload,) = (
        each for (kind, name), each in BY_NAME.items() if name == f"brh-{role}" and "template" in each.get("spec", {})
    )
    labels = workload["spec"]["template"]["metadata"]["labels"]
    own = {"matchLabels": {"app.kubernetes.io/name": f"brh-{role}"}}
    assert workload["spec"]["selector"] == own
    assert own["matchLabels"].items() <= labels.items()
    assert BY_NAME["PodDisruptionBudget", f"brh-{role}"]["spec"] == {"maxUnavailable": 1, "selector": own}
    everybody = BY_NAME["NetworkPolicy", "brh"]["spec"]["podSelector"]["matchLabels"]
    assert everybody.items() <= labels.items()


def test_trackers_find_each_other_by_their_names() -> None:
    tracker = BY_NAME["StatefulSet", "brh-tracker"]["spec"]
    peers = BY_NAME["Service", tracker["serviceName"]]["spec"]
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"]) == ("None", True)
    env = {each["name"]: each.get("value") for each in tracker["template"]["spec"]["containers"][0]["env"]}
    assert env["BRH_API_ADVERTISED_HOST"] == f"$(BRH_WORKER_ID).{tracker['serviceName']}"
