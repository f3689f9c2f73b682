"""The policy in `ops/lifecycle.json` has the shape that Azure takes, and is never faster than the product."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.settings import BlobSettings
from streams.settings import RESULT_RETENTION_MIN_S, DeliverySettings
from streams.topics import Topics

DAY_S = 86_400
POLICY: dict[str, Any] = json.loads((Path(__file__).parents[2] / "ops" / "lifecycle.json").read_text())


def test_the_policy_has_the_members_of_a_management_policy_and_no_others() -> None:
    # As of Azure Storage's management policies: at most 100 rules, at most 10 prefixes a rule, container first.
    assert set(POLICY) == {"rules"}
    assert 1 <= len(POLICY["rules"]) <= 100
    for rule in POLICY["rules"]:
        assert set(rule) == {"enabled", "name", "type", "definition"}
        assert isinstance(rule["enabled"], bool)
        assert re.fullmatch("[A-Za-z0-9-]{1,256}", rule["name"])
        assert rule["type"] == "Lifecycle"
        definition = rule["definition"]
        assert set(definition) == {"filters", "actions"}
        assert set(definition["filters"]) == {"blobTypes", "prefixMatch"}
        assert definition["filters"]["blobTypes"] == ["blockBlob"]
        assert 1 <= len(definition["filters"]["prefixMatch"]) <= 10
        assert set(definition["actions"]) == {"baseBlob"}
        assert set(definition["actions"]["baseBlob"]) == {"delete"}
        (condition,) = definition["actions"]["baseBlob"]["delete"].items()
        assert condition[0] == "daysAfterCreationGreaterThan"
        assert type(condition[1]) is int
    assert len({rule["name"] for rule in POLICY["rules"]}) == len(POLICY["rules"])


def test_the_policy_is_about_the_container_of_results_alone() -> None:
    container = BlobSettings.model_fields["blob_container"].default
    for rule in POLICY["rules"]:
        assert rule["definition"]["filters"]["prefixMatch"] == [f"{container}/"]


def test_the_policy_is_slower_than_any_retention_that_makes_sense() -> None:
    for rule in POLICY["rules"]:
        days = rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterCreationGreaterThan"]
        assert days * DAY_S > 366 * DAY_S > RESULT_RETENTION_MIN_S


def test_a_retention_is_longer_than_events_are_kept() -> None:
    (events,) = (spec for spec in Topics("brh", 8).specs() if spec.name == "brh.events")
    assert int(events.config["retention.ms"]) / 1_000 + DAY_S <= RESULT_RETENTION_MIN_S


@pytest.mark.parametrize("seconds", [0, 15 * DAY_S, 400 * DAY_S])
def test_results_are_kept_for_ever_or_long_enough(seconds: float) -> None:
    assert DeliverySettings(result_retention_s=seconds).result_retention_s == seconds


@pytest.mark.parametrize("seconds", [-1, 1, 14 * DAY_S, 15 * DAY_S - 1])
def test_a_retention_that_is_too_short_is_refused_with_the_reason(seconds: float) -> None:
    with pytest.raises(ValidationError, match=r"14, and a late duplicate|greater than or equal to 0"):
        DeliverySettings(result_retention_s=seconds)
