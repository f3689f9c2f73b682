"""Writes what the product consists of into dist/sbom.cdx.json, as CycloneDX. Run it with `make sbom`.

Python packages come from the lock, by `cyclonedx-py` as PATH has it. Other people's code that lies in this repository
and is shipped with ours is in no lock: `requirements/vendored.json` names it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
VENDORED: Final = ROOT / "requirements" / "vendored.json"
WRITTEN: Final = ROOT / "dist" / "sbom.cdx.json"


def main() -> None:
    """Write it; the same lock is the same file."""
    WRITTEN.parent.mkdir(exist_ok=True)
    # Without its serial number and time. A lock does not say who asked for what, and the tool warns of that.
    options = ("--output-reproducible", "--pyproject", "pyproject.toml", "--mc-type", "application")
    written = ("--output-format", "JSON", "--output-file", str(WRITTEN), "requirements/runtime.txt")
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    tool = shutil.which("cyclonedx-py")
    assert tool is not None, "scripts/audit installs it"
    subprocess.run([tool, "requirements", *options, *written], cwd=ROOT, env=quiet, check=True)
    bill = json.loads(WRITTEN.read_text())
    for each in json.loads(VENDORED.read_text()):
        bill["components"].append(component(each))
        bill["dependencies"].append({"ref": each["name"]})
    WRITTEN.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n")
    print(f"sbom: {WRITTEN.relative_to(ROOT)}")


def component(vendored: dict[str, str]) -> dict[str, Any]:
    """One of the vendored modules, with the hash of the file that is here."""
    name, version = vendored["name"], vendored["version"]
    digest = hashlib.sha256((ROOT / vendored["file"]).read_bytes()).hexdigest()
    if digest != vendored["sha256"]:
        sys.exit(f"sbom: {vendored['file']} is not what {VENDORED.relative_to(ROOT)} says of {name} {version}")
    return {
        "type": "library",
        "bom-ref": name,
        "name": name,
        "version": version,
        "purl": f"pkg:npm/{name}@{version}",
        "licenses": [{"license": {"id": vendored["license"]}}],
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "properties": [{"name": "brh:file", "value": vendored["file"]}],
    }


if __name__ == "__main__":
    main()
