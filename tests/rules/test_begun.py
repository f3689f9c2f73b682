"""What is counted begins at 0 where its labels are known: a series that begins at 1 hides its first event."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playbook import header, payload
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from test_measured import look
from tracker import Tracker

from bridge import azure_requests, metrics
from bridge.amqp_address import AmqpAddress
from bridge.azure_requests import NO_ANSWER, CountedTransport
from bridge.contract.inbound import RejectionCode
from bridge.headers import HeaderIntake
from bridge.hold import Breaker
from bridge.lanes import Lanes
from bridge.memory_blobs import MemoryBlobs
from bridge.registries import Bounded
from reference.codes import _constants, _said_as_code
from streams.courier import RECORD_UNREADABLE, REFUSALS
from streams.hardened.ends import EXIT_CODES, remember_ends
from tables.effects import Announce
from tests.support.counted import gauged
from tests.support.deliveries import courier
from tests.support.posted import Posted
from tests.support.result import START

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "ops/prometheus/rules.yml").read_text())["groups"][0]["rules"]
NAMED = (metrics.REFUSED, metrics.STORAGE_REQUESTS, metrics.LANES_CLOSED, metrics.REJECTED)
OF_TYPE = (
    metrics.CONFLICTS,
    metrics.CONFLICTING_FACTS,
    metrics.DUPLICATES,
    metrics.GAPS,
    metrics.LATE,
    metrics.ORPHANS,
    metrics.OUTCOMES,
    metrics.TOLD_SECONDS,
)


@pytest.fixture(autouse=True)
def _nothing_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(metrics, "transaction_type", Bounded(metrics.TYPES_MAX))
    for each in NAMED + OF_TYPE:
        each.clear()
    yield
    for each in NAMED + OF_TYPE:
        each.clear()


def test_refusals_of_a_delivery_begin_at_0() -> None:
    courier(MemoryBlobs(), Posted())
    assert gauged(metrics.REFUSED) == {(code,): 0 for code in REFUSALS}


def test_the_refusals_are_those_that_a_delivery_tells() -> None:
    told = {RECORD_UNREADABLE}
    for name in ("courier", "commit"):
        for node in ast.walk(ast.parse((ROOT / f"streams/{name}.py").read_text())):
            told |= {code for each in _said_as_code(node) for code in _constants(each)}
    assert told - {"assemble", "notify"} == {*REFUSALS}
    assert len({*REFUSALS}) == len(REFUSALS)


async def test_trouble_with_storage_begins_at_0() -> None:
    async with CountedTransport():
        assert gauged(metrics.STORAGE_REQUESTS) == {
            (operation, status): 0
            for operation in {*azure_requests._OPERATIONS.values()}
            for status in (NO_ANSWER, "429", "503")
        }


def test_lanes_that_end_begin_at_0() -> None:
    everything: Any = None
    Lanes(
        AmqpAddress.parse(SecretStr("amqp://host/")),
        "brh.headers",
        count=1,
        prefetch=1,
        accept=everything,
        name="us",
        storage=Breaker("storage", Exception),
        crash=everything,
    )
    assert gauged(metrics.LANES_CLOSED) == {("brh.headers",): 0}


def test_rejections_begin_at_0() -> None:
    everything: Any = None
    HeaderIntake(everything, everything, everything)
    assert gauged(metrics.REJECTED) == {(str(code),): 0 for code in RejectionCode}


def test_the_ends_of_a_worker_begin_at_0(tmp_path: Path) -> None:
    assert remember_ends(tmp_path / "ends") == dict.fromkeys(EXIT_CODES, 0)


@pytest.mark.parametrize("known", ["by its header", "by what is recovered"])
def test_a_tracker_shows_a_type_at_0_once_one_of_it_is_open(tracker: Tracker, known: str) -> None:
    tracker.tell(payload("a", 1, of=2))
    tracker.tell(header(a=2, kind="valuation"))
    if known == "by what is recovered":
        for each in OF_TYPE:
            each.clear()
        tracker.start()
        tracker.tick()
        look(tracker)
    for each in (metrics.CONFLICTS, metrics.GAPS, metrics.DUPLICATES, metrics.LATE):
        assert gauged(each)["valuation",] == 0
    tracker.tell(payload("a", 1, of=3))
    assert gauged(metrics.CONFLICTS)["valuation",] == 1


async def test_a_delivery_shows_a_type_at_0_once_it_announces_something_of_it() -> None:
    effect = Announce("e-1", "T1", "valuation", "accepted", START)
    await courier(MemoryBlobs(), Posted()).carry_out(effect)
    assert gauged(metrics.ORPHANS) == {("default",): 0, ("valuation",): 0}
    assert gauged(metrics.OUTCOMES)["valuation", "Completed", ""] == 0
    assert gauged(metrics.TOLD_SECONDS)["valuation", "+Inf"] == 0


def test_whatever_an_alert_takes_an_increase_of_begins_at_0() -> None:
    """Those without labels do by themselves, and of the others it is shown above."""
    asked = {name for rule in RULES for name in re.findall(r"\b(?:increase|rate)\((brh_\w+)", rule["expr"])}
    assert asked
    shown: tuple[MetricWrapperBase, ...] = (*NAMED, *OF_TYPE, metrics.ENDED, metrics.PARKED)
    begun = {family.name for metric in shown for family in metric.describe()}
    assert {re.sub("_(total|bucket)$", "", name) for name in asked} <= begun
