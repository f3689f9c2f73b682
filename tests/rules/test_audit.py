"""`make audit` with tools that say what the test wants: what is found fails, and silence is not taken for an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {str(lock.relative_to(ROOT)) for lock in (ROOT / "requirements").glob("*.txt")}
MODULES = {"streams/stack/parts/package-lock.json", "examples/node/package-lock.json", "requirements/vendored.json"}
JARS = {"streams/stack/parts/kafka-jars.sha256", "examples/java/jars.sha256"}
UNREACHABLE = "requests.exceptions.ConnectionError: nobody answers"
STRICT = "ERROR:pip_audit._cli:mine: Dependency not found on PyPI and could not be audited: mine (1.0)"
FINE = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
WEAK = {**FINE, "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["3.14.6"], "aliases": []}]}
UNKNOWN = {"name": "mine", "skip_reason": "Dependency not found on PyPI"}
NPM_FINE = {"auditReportVersion": 2, "vulnerabilities": {}}
NPM_WEAK_VIA = [{"url": "https://github.com/advisories/GHSA-x", "title": "bad"}, "other"]
NPM_WEAK = {
    "auditReportVersion": 2,
    "vulnerabilities": {"qs": {"name": "qs", "severity": "high", "range": "<6", "via": NPM_WEAK_VIA}},
}
NPM_UNREACHABLE = {"message": "405 Method Not Allowed", "error": {"summary": "", "detail": ""}}

PIP_AUDIT = """#!/bin/sh
echo "$*" >>"$ASKED"
case "$*" in --strict*) answer=$STRICT_ANSWER ;; *) answer=$ANSWER ;; esac
while [ $# -gt 0 ]; do
    case $1 in --requirement) lock=$2 ;; --output) written=$2 ;; esac
    shift
done
if [ -n "${ONLY-}" ] && [ "${lock##*/}" != "$ONLY" ]; then answer=$OTHERS; fi
case $answer in "{"*) printf '%s' "$answer" >"$written" ;; *) echo "$answer" >&2; exit 1 ;; esac
case $answer in *PYSEC*) exit 1 ;; esac
"""
NPM = """#!/bin/sh
cat package-lock.json >>"$ASKED.npm"
echo "npm warn audit $*" >&2
printf '%s' "$NPM_ANSWER"
case $NPM_ANSWER in *vulnerabilities\\":\\ {}*) exit 0 ;; *) exit 1 ;; esac
"""


def report(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """An environment in which both tools know everything, and find nothing."""
    for name, text in (("pip-audit", PIP_AUDIT), ("npm", NPM)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    fine = report(FINE)
    said = {"STRICT_ANSWER": fine, "ANSWER": fine, "OTHERS": fine, "NPM_ANSWER": json.dumps(NPM_FINE)}
    return {"ASKED": str(tmp_path / "asked"), **said, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def audit(tools: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **tools, **more, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "scripts" / "advisories.py"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def not_audited(done: subprocess.CompletedProcess[str]) -> set[str]:
    lines = [line for line in done.stderr.splitlines() if line.startswith("NOT AUDITED: ")]
    return {line.removeprefix("NOT AUDITED: ").partition(",")[0] for line in lines}


def audited(done: subprocess.CompletedProcess[str]) -> set[str]:
    begin = "audit: no advisory is known of what "
    return {line.removeprefix(begin).removesuffix(" pins") for line in done.stdout.splitlines()}


def test_every_lock_is_asked_about_and_what_cannot_be_is_named(tools: dict[str, str]) -> None:
    assert {f"requirements/{name}.txt" for name in ("runtime", "examples", "fuzz", "mutants")} <= LOCKS
    done = audit(tools)
    assert (done.returncode, audited(done), not_audited(done)) == (0, LOCKS | MODULES, JARS)
    asked = Path(tools["ASKED"]).read_text()
    assert [lock for lock in LOCKS if f"--requirement {ROOT / lock} " not in asked] == []
    assert asked.count("--strict") == len(LOCKS)
    modules = Path(f"{tools['ASKED']}.npm").read_text()
    assert [name for name in ("azurite", "amqplib", "htmx.org") if f'"node_modules/{name}"' not in modules] == []


def test_a_finding_fails_and_is_named_with_what_mends_it(tools: dict[str, str]) -> None:
    done = audit(tools, STRICT_ANSWER=report(FINE, WEAK), ONLY="fuzz.txt")
    assert done.returncode == 1
    said = "audit: requirements/fuzz.txt: aiohttp 3.14.5 has PYSEC-2026-1, mended in 3.14.6"
    assert said in done.stderr.splitlines()
    assert audited(done) == (LOCKS | MODULES) - {"requirements/fuzz.txt"}


def test_advisories_that_cannot_be_had_are_no_failure_and_no_audit(tools: dict[str, str]) -> None:
    done = audit(tools, STRICT_ANSWER=UNREACHABLE, ANSWER=UNREACHABLE, NPM_ANSWER=json.dumps(NPM_UNREACHABLE))
    assert (done.returncode, audited(done)) == (0, set())
    assert not_audited(done) == LOCKS | MODULES | JARS
    assert f"NOT AUDITED: requirements/runtime.txt, because the advisories cannot be had: {UNREACHABLE}" in done.stderr
    assert Path(tools["ASKED"]).read_text().count("--requirement") == len(LOCKS), "once is enough"


def test_a_package_that_nobody_knows_hides_no_finding_of_another(tools: dict[str, str]) -> None:
    done = audit(tools, STRICT_ANSWER=STRICT, ANSWER=report(UNKNOWN, WEAK), ONLY="runtime.txt")
    assert done.returncode == 1
    assert "requirements/runtime.txt: aiohttp 3.14.5 has PYSEC-2026-1" in done.stderr
    assert "NOT AUDITED: requirements/runtime.txt, because 1 of 2 packages are not known" in done.stderr
    assert audited(done) == (LOCKS | MODULES) - {"requirements/runtime.txt"}


def test_a_package_that_nobody_knows_is_no_failure_by_itself(tools: dict[str, str]) -> None:
    done = audit(tools, STRICT_ANSWER=STRICT, ANSWER=report(UNKNOWN, FINE))
    assert (done.returncode, not_audited(done)) == (0, LOCKS | JARS)


def test_a_finding_in_a_module_fails(tools: dict[str, str]) -> None:
    done = audit(tools, NPM_ANSWER=json.dumps(NPM_WEAK))
    assert done.returncode == 1
    said = "qs <6 has https://github.com/advisories/GHSA-x, that of other (high)"
    assert [name for name in MODULES if f"audit: {name}: {said}" not in done.stderr.splitlines()] == []
    assert audited(done) == LOCKS


@pytest.mark.parametrize("broken", ["", "{", "{}", '{"dependencies": []}'])
def test_an_answer_that_says_nothing_is_none(tools: dict[str, str], broken: str) -> None:
    done = audit(tools, STRICT_ANSWER=broken, NPM_ANSWER=broken)
    assert (done.returncode, audited(done), not_audited(done)) == (0, set(), LOCKS | MODULES | JARS)
