"""A seed says which faults happen when and what is sent, and says the same every time."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from tests.chaos.load import HUGE_BYTES, body, digest, plans
from tests.chaos.schedule import BLOB_FAULTS, DECK, PATIENT, Places, schedule
from tests.chaos.soak import Slope, grown, held, unmeasured
from tests.support.fault_proxy import Fault

PLACES = Places(
    processes=["bridge-1", "tracker-1", "delivery-1"],
    on_amqp=["bridge-1", "producer"],
    on_kafka=["bridge-1", "tracker-1"],
    on_blob=["delivery-1"],
    session_s=8,
)


def test_the_same_seed_is_the_same_run_and_a_longer_one_begins_like_it() -> None:
    short, long = schedule(7, 5, PLACES), schedule(7, 60, PLACES)
    assert long[: len(short)] == short
    assert schedule(8, 5, PLACES) != short
    assert list(islice(plans(7), 50)) == list(islice(plans(7), 50))


def test_every_kind_of_fault_comes_in_the_time_that_a_deck_takes() -> None:
    planned = schedule(7, 10, PLACES)
    assert {each.kind for each in planned} == set(DECK)
    assert [each.at_s for each in planned] == sorted(each.at_s for each in planned)


@pytest.mark.parametrize("seed", range(5))
def test_no_kind_kills_the_emulator_which_would_lose_what_it_acknowledged(seed: int) -> None:
    kills = {each.target for each in schedule(seed, 120, PLACES) if each.kind.startswith("kill")}
    assert kills == {"rabbitmq", "kafka", *PLACES.processes}


def test_freezes_last_up_to_three_sessions() -> None:
    lengths = [each.seconds for each in schedule(7, 120, PLACES) if each.kind == "freeze"]
    assert min(lengths) < PLACES.session_s / 2
    assert max(lengths) <= 3 * PLACES.session_s
    assert sum(each > PLACES.session_s for each in lengths) > len(lengths) / 3


def test_the_proxy_knows_every_fault_of_storage() -> None:
    assert {Fault[name] for name in BLOB_FAULTS} == set(Fault) - {Fault.BLOCKS_GONE, Fault.SLOW}


def test_the_load_has_every_kind_of_transaction_in_its_share() -> None:
    some = list(islice(plans(7, huge_every=100), 1_000))
    assert {each.shape for each in some} == {"tiny", "runs", "medium", "large", "many", "huge"}
    twists = Counter(each.twist for each in some)
    assert all(20 <= twists[twist] <= 100 for twist in ("conflict", "incomplete", "bad"))
    messages = [message for each in some for message in each.messages]
    distinct = {replace(each, late_s=0.0) for each in messages}
    assert 0.15 < 1 - len(distinct) / len(messages) < 0.25
    assert max(each.size for each in messages) <= HUGE_BYTES
    headers = Counter(
        "none" if not heads else "first" if heads[0] == 0 else "later"
        for each in some
        if (heads := [n for n, message in enumerate(each.messages) if message.kind == "header"]) is not None
    )
    assert min(headers[place] for place in ("none", "first", "later")) > 5


@pytest.mark.parametrize("size", [0, 1, 1_000, (8 << 20) + 2, 20_000_000])
def test_a_body_is_what_its_name_says_at_any_size(size: int) -> None:
    made = body("name", size)
    assert len(made) == size
    assert made == body("name", size)
    assert size == 0 or digest(made) != digest(body("other", size))


def test_a_patient_run_ends_no_process() -> None:
    planned = schedule(7, 120, PLACES, PATIENT)
    assert len(planned) == 120
    assert not [
        each.kind for each in planned if "kill" in each.kind or each.kind in ("term", "freeze", "rolling restart")
    ]


def test_what_grows_is_seen_and_what_does_not_is_not(tmp_path: Path) -> None:
    samples = [
        {"at_s": at_s, "name": name, "pid": pid, "rss_mib": 100 + grows * at_s / 3600, "threads": 7}
        for at_s in range(0, 1_800, 5)
        for name, pid, grows in (("leaks", 1, 36), ("holds", 2, 0), ("restarted", at_s // 100, 0))
    ]
    (tmp_path / "samples.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in samples))
    found = held(tmp_path)
    assert {*found} == {"leaks", "holds"}, "lives of 100 s show nothing"
    assert round(found["leaks"]["rss_mib"].per_hour, 6) == 36
    assert round(found["leaks"]["rss_mib"].first, 6) == 103
    assert (round(found["holds"]["rss_mib"].per_hour, 6), found["holds"]["threads"].first) == (0, 7)
    assert [line.split(":")[0] for line in grown(found)] == ["leaks"]
    names = ("leaks", "holds", "restarted", "never")
    assert [line.split(": it")[0] for line in unmeasured(tmp_path, names, found)] == [
        "changelogs",
        "restarted",
        "never",
        "restarted",
    ]


def test_a_little_of_very_little_is_not_called_growth() -> None:
    assert grown({"tracker-1": {"threads": Slope(3, 5, 2.0), "rss_mib": Slope(20, 26, 12.0)}}) == []
    assert len(grown({"tracker-1": {"threads": Slope(3, 13, 20.0), "rss_mib": Slope(20, 40, 40.0)}})) == 2
