"""What any release has written is read as it was meant for ever, and is written so, or its version is raised."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any, get_args

import pytest

from bridge.contract.events import AnyEvent, OutcomeKind
from streams.recovery import recover
from streams.topics import Topics
from tables import effects, receipts
from tables.policies import DEFAULTS
from tables.transaction import State
from tests.golden import release_0_1_0
from tests.golden.releases import RELEASES, files

KEPT = [(release, name) for release in RELEASES for name in files(release)]
CURRENT = version("big-result-handler")


def version_of(record: bytes) -> int:
    """Which version a record says it is; names of blobs and blocks have none."""
    try:
        found = json.loads(record)
    except ValueError:
        return 1
    plain = found[1] if isinstance(found, list) else found
    said: int = plain.get("v", 1)
    return said


def shows(now: Any, before: Any) -> bool:
    """Whether everything is there that was there before."""
    if isinstance(before, dict):
        return all(name in now and shows(now[name], value) for name, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(map(shows, now, before))
    same: bool = now == before
    return same


@pytest.mark.parametrize("release", RELEASES)
def test_every_record_of_a_release_is_kept(release: str) -> None:
    assert set(files(release)) == set(RELEASES[release]()), "python -m tests.golden writes what is missing"


@pytest.mark.parametrize(("release", "name"), KEPT)
def test_it_is_read_as_it_was_meant(release: str, name: str) -> None:
    sample = RELEASES[release]()[name]
    found = sample.decode(files(release)[name])
    assert shows(sample.value, found) if name.startswith("transactions/") else found == sample.value


@pytest.mark.parametrize(("release", "name"), KEPT)
def test_it_is_written_so_or_its_version_is_raised(release: str, name: str) -> None:
    kept, written = files(release)[name], RELEASES[release]()[name].written
    if name.startswith("notifications/"):
        assert written == kept, "a copy of what was told before would differ from it"
    else:
        same = shows(json.loads(written), json.loads(kept)) if name.startswith("transactions/") else written == kept
        assert same or version_of(written) > version_of(kept)


def test_the_current_release_has_its_records() -> None:
    assert CURRENT in RELEASES


def test_every_kind_of_record_has_one() -> None:
    names = set(RELEASES[CURRENT]())

    def kinds(folder: str) -> set[str]:
        return {name.split("/")[1].partition(".")[0].partition("-")[0] for name in names if name.startswith(folder)}

    assert kinds("events/") == {kind.__name__ for kind in get_args(AnyEvent)}
    assert kinds("effects/") == {kind.__name__ for kind in get_args(effects.Effect)}
    assert kinds("receipts/") == {kind.__struct_config__.tag for kind in get_args(receipts.Row)}
    assert kinds("transactions/") == set(State)
    assert kinds("outcomes/") == {"partial", *(kind.lower() for kind in get_args(OutcomeKind))}
    said = {"accepted", "gap", "overdue", "orphaned"}
    assert kinds("notifications/") == kinds("outcomes/") | said


def test_every_member_of_an_event_is_in_one_of_them() -> None:
    shown: dict[str, set[str]] = {}
    for name, record in files(CURRENT).items():
        if name.startswith(("events/", "effects/")):
            found = json.loads(record)
            shown.setdefault(found["type"], set()).update(found)
    for kind in (*get_args(AnyEvent), *get_args(effects.Effect)):
        members = set(kind.__struct_encode_fields__) - {"v"}
        assert shown[kind.__name__] - {"type"} == members, kind.__name__


@pytest.mark.parametrize("release", RELEASES)
def test_tables_of_a_release_are_taken_over(release: str) -> None:
    kept = files(release)
    rows: dict[str, Any] = dict(json.loads(body) for name, body in kept.items() if name.startswith("receipts/"))
    shown = {"T1": json.loads(kept["transactions/AwaitingResults.json"])}
    owned = recover(rows, shown, {0}, Topics("brh", 1), DEFAULTS, release_0_1_0.LATER, 1e6)[0]
    assert owned.unreadable == {}
    assert [*owned.closed] == ["T1"]
    del rows[receipts.outcome_key("T1")]
    owned = recover(rows, shown, {0}, Topics("brh", 1), DEFAULTS, release_0_1_0.LATER, 1e6)[0]
    assert owned.transactions["T1"].duplicates == shown["T1"]["duplicates"] > 0
