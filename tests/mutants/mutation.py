"""Mutate one module: a copy of the product, mutmut in it, and what it has found."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.modules import MODULES

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".brh" / "mutants"
"""Of the environment with mutmut, and of the copies."""
MUTMUT: Final = FOLDER / "bin" / "mutmut"
_COPIED: Final = ("bridge", "tables", "streams", "docs", "ops", "tests/rules", "tests/support", "tests/conftest.py")
_STAMP: Final = "made-of"
_KILLED: Final = {1, 3, 36, 24, -24, 152, 255, -9, -11}
"""Exit codes of mutmut's children: a test failed or broke, or ran out of its time, which is long."""
_UNSEEN: Final = {5, 33}
"""No test comes by."""


class Score(NamedTuple):
    """Of one module."""

    mutants: int
    killed: int
    unseen: tuple[str, ...]
    survivors: tuple[str, ...]
    """Both by mutmut's names."""
    unchecked: int
    """Not tried yet: run it again, and it goes on."""


def mutate(module: str, limit_s: float | None = None) -> Score:
    """Run mutmut over a module, or go on with it; after `limit_s` seconds with what is known by then.

    Raises:
        RuntimeError: mutmut fails.
    """
    folder = _prepared(module)
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [MUTMUT, "run", "--max-children", "1"], cwd=folder, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            ended = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            ended = 0
    if ended:
        raise RuntimeError(f"mutmut failed on {module}: {(folder / 'said').read_text()[-3000:]}")
    return score(module)


def score(module: str) -> Score:
    """What is known of a module."""
    found = _folder(module) / "mutants" / f"{module}.meta"
    codes: dict[str, int | None] = json.loads(found.read_text())["exit_code_by_key"] if found.exists() else {}
    killed = sum(code in _KILLED for code in codes.values())
    unseen = tuple(name for name, code in codes.items() if code in _UNSEEN)
    survivors = tuple(name for name, code in codes.items() if code is not None and code not in _KILLED | _UNSEEN)
    return Score(len(codes), killed, unseen, survivors, sum(code is None for code in codes.values()))


def change(module: str, mutant: str) -> str:
    """What a mutant does, as the lines of a diff."""
    done = subprocess.run([MUTMUT, "show", mutant], cwd=_folder(module), capture_output=True, text=True, check=False)
    lines = (line for line in done.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---"))
    return "\n".join(lines)


def _folder(module: str) -> Path:
    return FOLDER / "copies" / module.removesuffix(".py").replace("/", ".")


def _prepared(module: str) -> Path:
    """A copy that is there is used again, with what mutmut knows of it, unless something of it has changed."""
    folder = _folder(module)
    if is_current(module):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    (folder / "tests/mutants").mkdir()
    shutil.copy(Path(__file__).with_name("nodeid.py"), folder / "tests/mutants")
    settings = {
        "source_paths": ["bridge", "tables", "streams"],
        "only_mutate": [module],
        "also_copy": ["docs", "ops"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "tests.mutants.nodeid"],
        "pytest_add_cli_args_test_selection": _tests(module),
        "use_git_change_detection": False,
    }
    table = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    (folder / "pyproject.toml").write_text(f"{(ROOT / 'pyproject.toml').read_text()}\n[tool.mutmut]\n{table}\n")
    (folder / _STAMP).write_text(_made_of(module))
    return folder


def is_current(module: str) -> bool:
    """Whether what is known of a module is known of it as it is now, and of its tests."""
    stamp = _folder(module) / _STAMP
    return stamp.exists() and stamp.read_text() == _made_of(module)


def _made_of(module: str) -> str:
    files = [module, *_tests(module)]
    return "".join(f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()} {name}\n" for name in files)


def _tests(module: str) -> list[str]:
    return [f"tests/rules/{name}.py" for name in MODULES[module]]
