"""Kafka's jars and Azurite's modules, fetched once per version into a cache that all stacks share."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.stack import lock, programs
from streams.stack.errors import StackError

_PARTS: Final = Path(__file__).with_name("parts")
_POM: Final = _PARTS / "pom.xml"
_JAR_SUMS: Final = _PARTS / "kafka-jars.sha256"
_PACKAGE: Final = _PARTS / "package.json"
_PACKAGE_LOCK: Final = _PARTS / "package-lock.json"
_FETCH_TIMEOUT_S: Final = 900
_WORDS_MAX_LINES: Final = 5


def kafka_version() -> str:
    """The pinned version of Kafka."""
    found = re.search(r"<kafka.version>(.+)</kafka.version>", _POM.read_text())
    assert found, _POM
    return found.group(1)


def azurite_version() -> str:
    """The pinned version of Azurite."""
    return str(json.loads(_PACKAGE.read_text())["dependencies"]["azurite"])


def cache() -> Path:
    """`BRH_CACHE_DIR`, else our folder in the user's cache."""
    own = os.environ.get("BRH_CACHE_DIR")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own).absolute() if own else Path(shared) / "big-result-handler"


def kafka_jars() -> Path:
    """The folder of Kafka's jars, there or not. Its name changes with the list of jars."""
    return cache() / f"kafka-{kafka_version()}-{_key(_POM, _JAR_SUMS)}"


def azurite_modules() -> Path:
    """The folder of Azurite, there or not. Its name changes with the lock file."""
    return cache() / f"azurite-{azurite_version()}-{_key(_PACKAGE, _PACKAGE_LOCK)}"


def azurite_program() -> Path:
    """The script that is the blob service."""
    return azurite_modules() / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def complete() -> bool:
    """Whether everything is in the cache."""
    return kafka_jars().is_dir() and azurite_modules().is_dir()


def ensure(say: Callable[[str], None]) -> None:
    """Install what is missing, telling each step; nothing is looked up anywhere when nothing is missing.

    Raises:
        StackError: a program is missing that we cannot install, or something could not be fetched.
    """
    programs.rabbitmq(), programs.epmd(), programs.java(), programs.node()
    if complete():
        return
    with lock.held(cache(), say, timeout_s=_FETCH_TIMEOUT_S):
        if not kafka_jars().is_dir():
            say(f"fetching Kafka {kafka_version()} with Maven into {kafka_jars()}")
            _install_kafka()
        if not azurite_modules().is_dir():
            say(f"fetching Azurite {azurite_version()} with npm into {azurite_modules()}")
            _install_azurite()


def _install_kafka() -> None:
    with _whole(kafka_jars()) as folder:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        _run(
            [str(programs.maven()), "-B", "-q", "-Dstyle.color=never", "-f", str(_POM), *goal],
            folder,
            code="kafka-fetch",
        )
        for line in _JAR_SUMS.read_text().splitlines():
            expected, name = line.split()
            jar = folder / name
            if not jar.is_file() or hashlib.sha256(jar.read_bytes()).hexdigest() != expected:
                raise StackError(
                    f"Maven delivered another {name} than the one that is pinned",
                    code="kafka-fetch",
                    remedy="Remove it from Maven's local repository and try again.",
                )


def _install_azurite() -> None:
    with _whole(azurite_modules()) as folder:
        for part in (_PACKAGE, _PACKAGE_LOCK):
            shutil.copy(part, folder)
        # No scripts of packages are run: none that we need has any.
        options = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        _run([*programs.npm(), *options], folder, code="azurite-fetch")


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder to fill that becomes `target` only when that succeeded: half an installation is never found."""
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(command: Sequence[str], folder: Path, *, code: str) -> None:
    env = dict(os.environ)
    if "JAVA_HOME" not in env and not shutil.which("java"):
        env["JAVA_HOME"] = str(programs.java().parent.parent)  # for Maven
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise StackError(
            f"{Path(command[0]).name} did not finish in {_FETCH_TIMEOUT_S} s", code=code, remedy="Try again."
        ) from None
    if done.returncode:
        # Both programs say what is wrong first, and then how to read about errors in general.
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        words = "\n".join(lines[:_WORDS_MAX_LINES])
        raise StackError(
            f"{Path(command[0]).name} failed: {words}", code=code, remedy="Check the network, then try again."
        )


def _key(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
