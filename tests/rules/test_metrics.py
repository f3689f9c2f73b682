"""What the processes count: a catalogue that is true, and labels that cannot grow without end."""

from __future__ import annotations

import asyncio
import re

import pytest
from aiohttp.test_utils import make_mocked_request
from prometheus_client.parser import text_string_to_metric_families

from bridge import metrics
from bridge.ages import GRAIN_S, Ages
from bridge.azure_requests import operation_of
from bridge.exposition import Exposition
from bridge.metrics import CATALOGUE, OTHER, TYPES_MAX, Kind
from bridge.registries import Bounded
from bridge.settings import load
from streams import worker
from streams.settings import DeliverySettings, TrackerSettings, WorkerSettings

LABELS = {
    "code", "kind", "operation", "outcome", "partition", "queue", "result", "size_class", "state", "status", "system",
    "table", "topic", "transaction_type",
}  # fmt: skip
"""All have few values, or are bounded."""


def test_every_metric_is_named_once_and_explained() -> None:
    names = [each.name for each in CATALOGUE]
    assert len(set(names)) == len(names)
    for each in CATALOGUE:
        assert re.fullmatch(r"brh_[a-z_]+", each.name), each.name
        assert each.meaning.endswith("."), each.name
        assert set(each.labels) <= LABELS, each.name
        assert each.kinds
        assert each.name.endswith("_total") is (each.type == "counter"), each.name
        assert each.type != "histogram" or each.name.endswith(("_seconds", "_payloads")), each.name


@pytest.mark.parametrize("kind", Kind)
def test_a_process_shows_what_the_catalogue_says_of_its_kind_and_nothing_of_others(kind: Kind) -> None:
    looked = []
    text = Exposition(kind, lambda: looked.append(kind)).text().decode()
    assert looked == [kind]
    shown = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("brh_")}
    assert shown == {each.name.removesuffix("_total") for each in CATALOGUE if kind in each.kinds}
    assert "process_resident_memory_bytes" in text


def test_transaction_types_that_come_late_share_a_label() -> None:
    bounded = Bounded(10)
    first = [f"type-{number}" for number in range(10)]
    assert [bounded(each) for each in first] == first
    assert bounded("one-more") == OTHER
    assert bounded(first[-1]) == first[-1]
    assert bounded.values == set(first)


@pytest.mark.parametrize("settings", [TrackerSettings, DeliverySettings])
def test_how_many_transaction_types_are_told_apart_is_a_setting(
    settings: type[WorkerSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "transaction_type", Bounded(TYPES_MAX))
    monkeypatch.setenv("BRH_METRICS_TYPES_MAX", "2")
    monkeypatch.setattr(worker, "configure_logs", lambda *_: {})
    worker.worker_options(load(settings), "group", "127.0.0.1:1", process="test")
    assert [metrics.transaction_type(each) for each in "abc"] == ["a", "b", OTHER]


ACCOUNT = "https://me.blob.core.windows.net/results"


@pytest.mark.parametrize(
    ("method", "url", "operation"),
    [
        ("PUT", f"{ACCOUNT}/T/s/part-00000?comp=block&blockid=AAA%2B", "put-block"),
        ("PUT", f"{ACCOUNT}/T/s/part-00000?comp=blocklist", "put-block-list"),
        ("GET", f"{ACCOUNT}/T/s/part-00000?blocklisttype=uncommitted&comp=blocklist", "get-block-list"),
        ("PUT", f"{ACCOUNT}/T/_outcome.json", "put-blob"),
        ("GET", f"{ACCOUNT}/T/_outcome.json?sig=secret", "get-blob"),
        ("HEAD", f"{ACCOUNT}/T/_outcome.json", "get-properties"),
        ("DELETE", f"{ACCOUNT}/T/_outcome.json", "delete-blob"),
        ("GET", f"{ACCOUNT}?restype=container&comp=list&prefix=T", "list-blobs"),
        ("PUT", f"{ACCOUNT}?restype=container", "create-container"),
        ("POST", f"{ACCOUNT}?comp=batch", "other"),
        ("PUT", f"{ACCOUNT}/T/x?comp=whatever", "other"),
    ],
)
def test_requests_are_called_as_azure_calls_them(method: str, url: str, operation: str) -> None:
    assert operation_of(method, url) == operation


def test_the_oldest_message_is_known_within_a_second_and_few_moments_are_kept() -> None:
    ages = Ages()
    for tag in range(1, 10_001):
        ages.came(tag, tag / 1_000, 1)
    assert len(ages._moments) == 10
    for oldest in (1, 500, 5_000, 9_999):
        true_s = 10.0 - oldest / 1_000
        assert true_s <= ages.oldest_s(oldest, 10.0) <= true_s + GRAIN_S
    assert len(ages._moments) == 1


def test_what_is_settled_is_forgotten_also_where_nobody_asks() -> None:
    ages = Ages()
    for tag in range(1, 10_001):
        ages.came(tag, 2.0 * tag, tag)
    assert len(ages._moments) <= 2


async def test_tasks_are_counted_when_somebody_looks() -> None:
    async def tasks() -> int:
        answer = await Exposition(Kind.BRIDGE).get(make_mocked_request("GET", "/metrics"))
        assert isinstance(answer.body, bytes)
        (line,) = (line for line in answer.body.decode().splitlines() if line.startswith("brh_tasks "))
        return int(float(line.split()[1]))

    before = await tasks()
    waiting = [asyncio.create_task(asyncio.Event().wait()) for _ in range(7)]
    assert await tasks() == before + 7
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    assert await tasks() == before
