"""What the product consists of is written down whole; and nobody says "audited" where nobody could be asked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SBOM = ROOT / "dist" / "sbom.cdx.json"
LOCKS = [lock.stem for lock in (ROOT / "requirements").glob("*.txt")]
pytestmark = pytest.mark.timeout(300)


def audit(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "audit", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def sbom() -> tuple[bytes, dict[str, Any]]:
    done = audit("sbom")
    assert done.returncode == 0, done.stderr
    return SBOM.read_bytes(), json.loads(SBOM.read_bytes())


def test_the_bill_of_materials_names_what_is_pinned_with_its_hashes() -> None:
    written, found = sbom()
    assert (found["bomFormat"], found["metadata"]["component"]["name"]) == ("CycloneDX", "big-result-handler")
    locked = dict(
        re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE)
    )
    assert len(locked) > 20
    packages, vendored = (
        [each for each in found["components"] if each["purl"].startswith(f"pkg:{kind}/")] for kind in ("pypi", "npm")
    )
    assert len(packages) + len(vendored) == len(found["components"])
    assert {each["name"]: each["version"] for each in packages} == locked
    assert all(reference["hashes"] for each in packages for reference in each["externalReferences"])
    (htmx,) = vendored
    assert (htmx["name"], htmx["version"], htmx["licenses"]) == ("htmx.org", "4.0.1", [{"license": {"id": "0BSD"}}])
    served = hashlib.sha256((ROOT / "streams/pages/assets/htmx.min.js").read_bytes()).hexdigest()
    assert htmx["hashes"] == [{"alg": "SHA-256", "content": served}]
    assert sbom()[0] == written, "the same lock is the same file"


def test_without_advisories_nothing_counts_as_audited() -> None:
    audit("sbom")  # installs what is missing
    nobody = "http://127.0.0.1:1"
    done = audit(HTTPS_PROXY=nobody, https_proxy=nobody, NO_PROXY="", no_proxy="")
    for lock in LOCKS:
        assert f"NOT AUDITED: requirements/{lock}.txt" in done.stderr
    assert done.stderr.count("package-lock.json, because the advisories cannot be had") == 2
    assert "no advisory is known" not in done.stdout
    assert done.returncode == 0
