"""A seed says which faults happen when and what is sent, and says the same every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from tests.chaos.load import HUGE_BYTES, body, digest, plans
from tests.chaos.schedule import BLOB_FAULTS, DECK, Places, schedule
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
