"""The commands and settings of the compose file, as processes: no engine is here to run the containers.

Hosts and ports are those of the test's stack; everything else is as the file has it. Like the containers the processes
see a file system that is read-only but for their own folder and a temporary one, where a test may do that.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from streams.supervisor import Child
from tests.support.compose import OURS, environment
from tests.support.outside import Chunks, assert_result, publish
from tests.support.world import World, free_port

pytestmark = pytest.mark.timeout(240)

READ_ONLY = ("unshare", "--mount", "sh", "-ec")
SCRIPT = """
for folder in "$BRH_DATA_DIR" "$TMPDIR"; do
    mkdir -p "$folder"
    mount --bind "$folder" "$folder"
done
mount -o remount,bind,ro /
exec "$@"
"""
BIN = Path(sys.executable).parent
ELSEWHERE = frozenset(
    {
        "BRH_AMQP_URL",
        "BRH_RABBITMQ_MANAGEMENT_URL",
        "BRH_KAFKA_BOOTSTRAP",
        "BRH_BLOB_CONNECTION_STRING",
        "BRH_API_URL",
        "BRH_NAMESPACE",
        "BRH_BLOB_CONTAINER",
    }
)
"""Settings that say where things are, and whose."""


def read_only() -> tuple[str, ...]:
    """What a command begins with to see a file system like that of its container; nothing where that is not allowed."""
    allowed = subprocess.run([*READ_ONLY, "mount -o remount,bind,ro /"], capture_output=True, check=False)
    return (*READ_ONLY, SCRIPT, "sh") if allowed.returncode == 0 else ()


def child(name: str, world: World, folder: Path) -> Child:
    """A service as a process, with its own ports."""
    service = OURS[name]
    given = environment(service)
    here = {key: value for key, value in world.env.items() if key in ELSEWHERE}
    binds = {key: f"127.0.0.1:{free_port()}" for key in given if key.endswith("_BIND")}
    if "BRH_API_ADVERTISED_HOST" in given:
        binds["BRH_API_ADVERTISED_HOST"] = "127.0.0.1"
    folders = {"BRH_DATA_DIR": str(folder / name), "TMPDIR": str(folder / f"{name}-tmp")}
    command, *arguments = service["command"]
    return Child(name, (*read_only(), str(BIN / command), *arguments), {**given, **here, **binds, **folders})


@pytest.mark.skipif(not read_only(), reason="this machine does not let a test mount")
def test_what_sees_a_read_only_file_system_writes_to_its_folders_and_nowhere_else(tmp_path: Path) -> None:
    env = {**os.environ, "BRH_DATA_DIR": str(tmp_path / "data"), "TMPDIR": str(tmp_path / "tmp")}
    written = 'touch "$BRH_DATA_DIR/x" "$TMPDIR/x"; ! touch "$0" 2>/dev/null'
    subprocess.run([*read_only(), "sh", "-ec", written, str(tmp_path / "outside")], env=env, check=True)
    assert (tmp_path / "data" / "x").exists()
    assert not (tmp_path / "outside").exists()


def test_the_services_carry_a_result_from_end_to_end(stack_env: dict[str, str], tmp_path: Path) -> None:
    settings = environment(OURS["tracker-1"])
    world = World(stack_env, tmp_path, env={key: settings[key] for key in settings.keys() - ELSEWHERE})
    world.virtual_host.make()
    try:
        services = {name: child(name, world, tmp_path) for name in OURS}
        world.api = world.env["BRH_API_URL"] = f"http://{services['tracker-1'].env['BRH_API_BIND']}"
        setup = services.pop("setup")
        subprocess.run(setup.argv, env={**os.environ, **setup.env}, check=True, timeout=60)
        world.run(list(services.values()))
        world.wait_ready()
        transaction, series = f"T-{uuid4().hex[:8]}", {"a": Chunks("a", [7, 300_000])}
        asyncio.run(publish(world, transaction, series))
        world.wait_state(transaction, {"Completed"})
        asyncio.run(assert_result(world, transaction, series))
    finally:
        world.stop()
    for name in services:
        assert list((tmp_path / name).iterdir()) == [] or "volumes" in OURS[name], (
            f"{name} keeps what it has no volume for"
        )
