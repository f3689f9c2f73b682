"""Pins anew what is fetched by npm and Maven: for `brh stack` Azurite and Kafka, and the clients of the examples.

Run it with `make lock-stack` after changing a version in `streams/stack/parts`, `examples/node` or `examples/java`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from streams.stack import programs

ROOT = Path(__file__).parent.parent
PARTS = ROOT / "streams" / "stack" / "parts"


def lock_modules(manifest: Path) -> None:
    """Write `package-lock.json` without addresses: which registry is used is the user's choice, the hashes are ours."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(manifest, folder)
        options = ["--package-lock-only", "--omit-lockfile-registry-resolved", "--ignore-scripts", "--no-audit"]
        subprocess.run([*programs.npm(), "install", *options], cwd=folder, check=True)
        lock = json.loads((Path(folder) / "package-lock.json").read_text())
    for package in lock["packages"].values():
        package.pop("funding", None)
        if "://" in str(package.get("license")):
            del package["license"]
    text = json.dumps(lock, indent=2, ensure_ascii=False)
    if "://" in text:
        raise SystemExit(f"there are addresses in the lock file of {manifest}")
    manifest.with_name("package-lock.json").write_text(f"{text}\n")


def lock_jars(pom: Path, name: str) -> None:
    """Write the checksum of each jar that Maven delivers now."""
    with tempfile.TemporaryDirectory() as folder:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        subprocess.run([programs.maven(), "-B", "-q", "-f", pom, *goal], check=True)
        sums = [
            f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(Path(folder).iterdir())
        ]
    pom.with_name(name).write_text("".join(sums))


if __name__ == "__main__":
    lock_modules(PARTS / "package.json")
    lock_jars(PARTS / "pom.xml", "kafka-jars.sha256")
    lock_modules(ROOT / "examples" / "node" / "package.json")
    lock_jars(ROOT / "examples" / "java" / "pom.xml", "jars.sha256")
