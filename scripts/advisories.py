"""Asks of everything that is pinned whether an advisory is known of it: with `pip-audit` and `npm`, as PATH has them.

A finding fails. Where nobody can be asked, or nobody knows, it says NOT AUDITED, which is not the same as fine, and
does not fail: a network without the internet is no weakness of what is pinned. Run it with `make audit`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from streams.stack import programs
from streams.stack.errors import StackError

ROOT: Final = Path(__file__).parent.parent
VENDORED: Final = ROOT / "requirements" / "vendored.json"
OWN: Final = ("streams", "examples", "tests", "ops", "docs")
"""Folders with locks of npm and Maven somewhere below."""
ANSWER_S: Final = 15
"""For one answer; there are some for each package."""
RUN_MAX_S: Final = 600


class Answer(NamedTuple):
    """What is known of one lock."""

    findings: Sequence[str] = ()
    """A line each."""
    unknown: str = ""
    """Why nothing is known, of all of it or of some packages; empty: all were looked up."""


def of_python(lock: Path) -> Answer:
    """Of what a requirements file pins."""
    answer = _pip_audit(lock, "--strict")
    # That stops at the first package that nobody knows, and hides what is known of the others.
    return _pip_audit(lock) if "could not be audited" in answer.unknown else answer


def of_modules(lock: Path) -> Answer:
    """Of what a `package-lock.json` pins."""
    return _npm_audit({name: (lock.with_name(name)).read_text() for name in ("package.json", "package-lock.json")})


def of_vendored(file: Path) -> Answer:
    """Of modules whose code is in this repository."""
    wanted = {each["name"]: each["version"] for each in json.loads(file.read_text())}
    root = {"name": "vendored", "version": "1.0.0", "dependencies": wanted}
    modules = {f"node_modules/{name}": {"version": version} for name, version in wanted.items()}
    lock = {"name": "vendored", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": root, **modules}}
    return _npm_audit({"package.json": json.dumps(root), "package-lock.json": json.dumps(lock)})


def of_jars(_: Path) -> Answer:
    """Of what a list of jars pins."""
    return Answer(unknown="there is no tool here that compares jars with advisories")


def everything() -> Iterator[tuple[Path, Callable[[Path], Answer]]]:
    """Every file that pins something, and how to ask about it."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        yield lock, of_python
    for folder in OWN:
        for lock in sorted((ROOT / folder).rglob("package-lock.json")):
            yield lock, of_modules
        for lock in sorted((ROOT / folder).rglob("*jars.sha256")):
            yield lock, of_jars
    yield VENDORED, of_vendored


def main() -> int:
    """Print what is known; 1 when there is a finding."""
    found = False
    for lock, ask in everything():
        name, answer = lock.relative_to(ROOT), ask(lock)
        for finding in answer.findings:
            print(f"audit: {name}: {finding}", file=sys.stderr)
        if answer.unknown:
            print(f"NOT AUDITED: {name}, because {answer.unknown}", file=sys.stderr)
        elif not answer.findings:
            print(f"audit: no advisory is known of what {name} pins")
        sys.stdout.flush()
        found |= bool(answer.findings)
    return int(found)


def _pip_audit(lock: Path, *options: str) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "report.json"
        fixed = ("--progress-spinner", "off", "--timeout", str(ANSWER_S), "--require-hashes", "--disable-pip")
        asked = ("--requirement", str(lock), "--format", "json", "--output", str(written))
        code, said = _run(["pip-audit", *options, *fixed, *asked], Path(folder))
        report = _json(written.read_text() if written.exists() else "")
    packages = report.get("dependencies", []) if isinstance(report, dict) else []
    findings = [
        f"{each['name']} {each['version']} has {advisory['id']}"
        + (f", mended in {', '.join(advisory['fix_versions'])}" if advisory.get("fix_versions") else "")
        for each in packages
        for advisory in each.get("vulns", [])
    ]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    if not packages or (code and not findings and not skipped):
        return Answer(findings, f"the advisories cannot be had: {_last(said)}")
    if skipped:
        return Answer(findings, f"{len(skipped)} of {len(packages)} packages are not known to who was asked")
    return Answer(findings)


def _npm_audit(files: dict[str, str]) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        patience = ("--fetch-retries=0", f"--fetch-timeout={ANSWER_S * 1_000}")
        try:
            npm = [shutil.which("npm")] if shutil.which("npm") else programs.npm()
        except StackError as error:
            return Answer(unknown=str(error))
        _, said = _run([*map(str, npm), "audit", "--json", "--package-lock-only", *patience], Path(folder))
    report = _json(said[said.find("{") : said.rfind("}") + 1])
    if not isinstance(report, dict) or "auditReportVersion" not in report:
        why = report.get("message") if isinstance(report, dict) else None
        return Answer(unknown=f"the advisories cannot be had: {why or _last(said)}")
    return Answer(
        [
            f"{name} {each['range']} has {', '.join(map(_advisory, each['via']))} ({each['severity']})"
            for name, each in report["vulnerabilities"].items()
        ]
    )


def _advisory(via: Any) -> str:
    """Its address, or the module by which it comes."""
    return str(via["url"]) if isinstance(via, dict) else f"that of {via}"


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_MAX_S,
            check=False,
        )
    except FileNotFoundError:
        return 127, f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} did not end within {RUN_MAX_S} s"
    return done.returncode, done.stdout


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _last(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1].strip() if lines else "nothing was said"


if __name__ == "__main__":
    sys.exit(main())
