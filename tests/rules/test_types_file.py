"""The types file: what is in it counts, what is not is inherited, and what is wrong is named, all of it at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec.structs import fields, replace
from playbook import Playbook, header, passes, payload

from bridge.settings import SettingsError
from streams.types_file import load_policies
from tables.policies import DEFAULTS, EARLY_BYTES_MAX, EARLY_PAYLOADS_MAX, Limits, Policies
from tables.transaction import Transaction

EXAMPLE = """
[default]                       # also used before the header has told the type
header = "PT10M"                # wait for the header after the first payload
idle = "PT10M"                  # no new payload: gap event
awaiting = "PT24H"              # at most 6 days
completing = "PT15M"            # in SendingCompletion: overdue event and alert; retries go on
completing_max = "PT24H"        # then Failed(completion-timeout); at most 6 days
on_timeout = "abandon"          # or "partial"
on_conflict = "fail"            # or "keep-first"
early_payloads_max = 100000     # payloads, and bytes, accepted before a header
early_bytes_max = 1099511627776
[types.valuation]
awaiting = "PT2H"
"""


def loaded(tmp_path: Path, text: str | bytes) -> Policies:
    path = tmp_path / "types.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_policies(path)


def test_without_a_file_the_defaults_are_for_all() -> None:
    assert load_policies(None) == DEFAULTS == Policies(Limits(), {})


def test_the_documented_example_says_the_defaults_and_one_type(tmp_path: Path) -> None:
    assert loaded(tmp_path, EXAMPLE) == Policies(Limits(), {"valuation": Limits(awaiting_s=7_200.0)})


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == DEFAULTS


def test_a_type_inherits_from_the_default_whatever_comes_first(tmp_path: Path) -> None:
    text = '[types.t]\nidle = "PT1M"\non_timeout = "partial"\n[default]\nidle = "PT5M"\nawaiting = "PT1H"\n'
    found = loaded(tmp_path, text)
    assert found.default == Limits(idle_s=300.0, awaiting_s=3_600.0)
    assert found.types == {"t": Limits(idle_s=60.0, awaiting_s=3_600.0, on_timeout="partial")}


def test_the_bounds_themselves_are_within(tmp_path: Path) -> None:
    text = f"""[default]
idle = "PT1S"
awaiting = "P6D"
completing = "PT1S"
completing_max = "PT1S"
early_payloads_max = {EARLY_PAYLOADS_MAX}
early_bytes_max = {EARLY_BYTES_MAX}
"""
    assert loaded(tmp_path, text).default == Limits(
        idle_s=1.0,
        awaiting_s=518_400.0,
        completing_s=1.0,
        completing_max_s=1.0,
        early_payloads_max=EARLY_PAYLOADS_MAX,
        early_bytes_max=EARLY_BYTES_MAX,
    )


WRONG = {
    '[default]\nidle = "10M"': "default.idle is '10M', expected an ISO 8601 duration from PT1S to P6D such as PT10M",
    "[default]\nidle = 600": "default.idle is 600, expected an ISO 8601 duration",
    '[default]\nawaiting = "P7D"': "default.awaiting is 'P7D', expected an ISO 8601 duration from PT1S to P6D",
    '[default]\nheader = "PT0.5S"': "default.header is 'PT0.5S', expected",
    '[default]\non_timeout = "give-up"': "default.on_timeout is 'give-up', expected abandon or partial",
    "[default]\non_conflict = true": "default.on_conflict is True, expected fail or keep-first",
    "[default]\non_conflict = []": "default.on_conflict is a value of type list, expected fail or keep-first",
    "[default]\nearly_payloads_max = 0": "default.early_payloads_max is 0, expected an integer from 1 to 1000000",
    "[default]\nearly_payloads_max = true": "default.early_payloads_max is True, expected an integer",
    "[default]\nearly_bytes_max = 1.5": "default.early_bytes_max is 1.5, expected an integer from 1 to",
    f"[default]\nearly_bytes_max = {EARLY_BYTES_MAX + 1}": "default.early_bytes_max is",
    '[default]\ntimeout = "PT1S"': "default.'timeout' is none of header, idle, awaiting, completing, completing_max,",
    '[default.idle]\nx = "PT1S"': "default.idle is a value of type dict, expected",
    "default = 3": "default is not a table",
    "types = 3": "types is not a table",
    "[types]\nvaluation = 3": "types.valuation is not a table",
    '[types."no.dots"]': "types.'no.dots': no transaction type can be called that",
    '[type.valuation]\nidle = "PT1M"': "'type' is none of default, types",
    '[types.t]\ncompleting = "P2D"': "types.t: completing is longer than completing_max, so nobody would ever be told",
    '[types.t]\ncompleting_max = "PT1M"': "types.t: completing is longer than completing_max",
    '[types.t]\nheader = "PT1H"': "types.t.header counts before the header tells the type, so never here: "
    "set it in [default]",
    "[types.t]\nheader = 1": "types.t.header counts before the header tells the type, so never here",
    "[types.t]\nearly_bytes_max = 5": "types.t.early_bytes_max counts before the header tells the type, so never here: "
    "set it in [default]",
    '[types.default]\nheader = "PT1H"': "types.default.header counts before the header tells the type",
}


@pytest.mark.parametrize(("text", "wanted"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_is_named_with_what_was_expected(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(SettingsError) as error:
        loaded(tmp_path, text)
    assert str(error.value).startswith(f"BRH_TYPES_FILE: {tmp_path}/types.toml: ")
    assert wanted in str(error.value)
    assert "; " not in str(error.value), "and nothing else is"


def test_every_wrong_entry_is_named_at_once(tmp_path: Path) -> None:
    parts = [text for text in WRONG if text.startswith("[default]") and text.count("\n") == 1]
    lines = {text.partition("\n")[2].split(" =")[0]: text.partition("\n")[2] for text in parts}
    text = "\n".join(["[default]", *lines.values(), "[types.t]", 'idle = "x"', '[types."a b"]', "[other]"])
    with pytest.raises(SettingsError) as error:
        loaded(tmp_path, text)
    said = str(error.value).split("; ")
    assert len(said) == len(lines) + 3
    assert all(any(f"default.{name} " in each or f"default.'{name}' " in each for each in said) for name in lines)


Script: TypeAlias = Callable[[Playbook], Playbook]
ACTS: dict[str, tuple[Limits, Script]] = {
    "idle": (Limits(idle_s=1), lambda book: book >> header(kind="t", a=1) >> passes(seconds=2)),
    "awaiting": (Limits(awaiting_s=1), lambda book: book >> header(kind="t", a=1) >> passes(seconds=2)),
    "completing": (Limits(completing_s=1), lambda book: book >> header(kind="t", a=0) >> passes(seconds=2)),
    "completing_max": (Limits(completing_max_s=900), lambda book: book >> header(kind="t", a=0) >> passes(minutes=15)),
    "on_timeout": (Limits(on_timeout="partial"), lambda book: book >> header(kind="t", a=1) >> passes(days=1)),
    "on_conflict": (
        Limits(on_conflict="keep-first"),
        lambda book: book >> header(kind="t", a=2) >> payload("a", 1, of=2) >> payload("a", 1, of=2, body="y"),
    ),
    "early_payloads_max": (
        Limits(early_payloads_max=1),
        lambda book: (
            book >> header(kind="t", a=1, on_conflict="keep-first") >> payload("u", 1, of=2) >> payload("u", 2, of=2)
        ),
    ),
}
"""What may stand below a type, and what changes by it."""
EARLY: list[Script] = [
    lambda book: book >> payload("a", 1, of=2) >> passes(minutes=11),
    lambda book: book >> payload("a", 1, of=2) >> passes(minutes=9) >> header(kind="t", a=2) >> passes(minutes=9),
    lambda book: book >> payload("a", 1, of=2) >> payload("a", 2, of=2) >> header(kind="t", a=2) >> passes(minutes=15),
]
NAMES = [field.name.removesuffix("_s") for field in fields(Limits)]


def said_below_a_type(name: str) -> str:
    value = {"on_timeout": '"partial"', "on_conflict": '"fail"'}.get(name, "1" if "early" in name else '"P1D"')
    return f"[types.t]\n{name} = {value}\n"


@pytest.mark.parametrize("name", ACTS)
def test_what_may_stand_below_a_type_acts_there(tmp_path: Path, name: str) -> None:
    limits, script = ACTS[name]
    assert [*loaded(tmp_path, said_below_a_type(name)).types] == ["t"]
    assert without_limits(script(Playbook(t=limits))) != without_limits(script(Playbook()))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ACTS])
def test_what_could_never_act_below_a_type_is_refused_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"types.t.{name} counts before the header"):
        loaded(tmp_path, said_below_a_type(name))
    assert loaded(tmp_path, said_below_a_type(name).replace("types.t", "default")).default != Limits()
    dead = Limits(header_s=1.0) if name == "header" else replace(Limits(), **{name: 1})
    for script in (*(script for _, script in ACTS.values()), *EARLY):
        assert without_limits(script(Playbook(t=dead))) == without_limits(script(Playbook())), "it would do nothing"


def without_limits(book: Playbook) -> Transaction:
    return replace(book.transaction, limits=Limits())


@pytest.mark.parametrize("text", ["[default\n", b"\xff\xfe", "a = 1\na = 2\n"], ids=repr)
def test_what_is_no_toml_says_so(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(SettingsError, match="is not TOML"):
        loaded(tmp_path, text)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        load_policies(tmp_path / "nowhere.toml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_policies(tmp_path)


def test_a_tracker_with_a_wrong_file_does_not_start_and_says_all_that_is_wrong_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "types.toml"
    path.write_text('[default]\nidle = "10M"\n[types.t]\nawaiting = "P7D"\n')
    command = [sys.executable, "-m", "faust", "-A", "streams.app", "worker"]
    env = {**os.environ, "BRH_TYPES_FILE": str(path)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2] == (
        f"tracker: BRH_TYPES_FILE: {path}: "
        "default.idle is '10M', expected an ISO 8601 duration from PT1S to P6D such as PT10M; "
        "types.t.awaiting is 'P7D', expected an ISO 8601 duration from PT1S to P6D such as PT10M (bad-settings)"
    )
