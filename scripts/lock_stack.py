"""Pins what `brh stack` fetches anew: npm's lock file for Azurite, and the checksums of Kafka's jars.

Run it with `make lock-stack` after changing a version in `streams/stack/parts`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from streams.stack import programs

PARTS = Path(__file__).parent.parent / "streams" / "stack" / "parts"


def lock_azurite() -> None:
    """Write `package-lock.json` without addresses: which registry is used is the user's choice, the hashes are ours."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(PARTS / "package.json", folder)
        options = ["--package-lock-only", "--omit-lockfile-registry-resolved", "--ignore-scripts", "--no-audit"]
        subprocess.run([*programs.npm(), "install", *options], cwd=folder, check=True)
        lock = json.loads((Path(folder) / "package-lock.json").read_text())
    for package in lock["packages"].values():
        package.pop("funding", None)
        if "://" in str(package.get("license")):
            del package["license"]
    text = json.dumps(lock, indent=2, ensure_ascii=False)
    if "://" in text:
        raise SystemExit("there are addresses in the lock file of Azurite")
    (PARTS / "package-lock.json").write_text(f"{text}\n")


def lock_kafka() -> None:
    """Write the checksum of each jar that Maven delivers now."""
    with tempfile.TemporaryDirectory() as folder:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        subprocess.run([programs.maven(), "-B", "-q", "-f", PARTS / "pom.xml", *goal], check=True)
        sums = [
            f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(Path(folder).iterdir())
        ]
    (PARTS / "kafka-jars.sha256").write_text("".join(sums))


if __name__ == "__main__":
    lock_azurite()
    lock_kafka()
