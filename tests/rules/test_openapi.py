"""`/openapi.json` says what the API does: every route, every answer, every problem, and nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from http_trackers import TOPICS, HttpTracker, two_trackers
from jsonschema import Draft202012Validator
from playbook import Playbook, command, delivered, header, payload, refused

from streams.openapi import openapi
from streams.partition import Partition
from tables.projection import view

DOCUMENT = openapi()
BOOKS = {
    "T-open": Playbook() >> header(a=3) >> payload("a", 1, of=3),
    "T-early": Playbook() >> payload("a", 2, of=3),
    "T-sending": Playbook() >> header(a=1) >> payload("a", 1, of=1) >> refused("Completed"),
    "T-cancelled": Playbook() >> header(a=2) >> command("cancel"),
    "T-done": Playbook() >> header(a=1) >> payload("a", 1, of=1) >> delivered("Completed"),
    "T-failed": Playbook() >> header(a=1) >> delivered("Failed", "timeout"),
}


def named(name: str) -> Any:
    return msgspec.structs.replace(BOOKS[name].transaction, id=name)


def shown(name: str) -> dict[str, Any]:
    return view(named(name))


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers([*BOOKS], shown, shown) as both:
        for tracker in both:
            tracker.known.update({name: named(name) for name in BOOKS})
            tracker.partitions.update({number: Partition() for number in range(TOPICS.partitions)})
        both[0].partitions[0].put(named("T-open"))
        yield both


def check(answer: Any, path: str, method: str, status: int) -> None:
    """The answer is as the document says."""
    response = DOCUMENT["paths"][path][method]["responses"][str(status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (content,) = response["content"].values()
    schema = content["schema"] | {"components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(answer)


READING = ["", "/gaps", "/explain"]


@pytest.mark.parametrize("name", BOOKS)
@pytest.mark.parametrize("suffix", READING)
async def test_what_is_told_of_a_transaction_is_as_it_says(trackers: list[HttpTracker], name: str, suffix: str) -> None:
    for tracker in trackers:
        status, answer = await tracker.get(f"/v1/transactions/{name}{suffix}")
        assert status == 200
        check(answer, f"/v1/transactions/{{id}}{suffix}", "get", 200)
    status, problem = await trackers[0].get(f"/v1/transactions/nope{suffix}")
    check(problem, f"/v1/transactions/{{id}}{suffix}", "get", status)


@pytest.mark.parametrize("path", ["/v1/transactions", "/v1/summary", "/livez", "/readyz", "/version", "/openapi.json"])
async def test_the_other_answers_are_as_it_says(trackers: list[HttpTracker], path: str) -> None:
    status, answer = await trackers[1].get(path)
    assert status == 200
    check(answer, path, "get", 200)
    if "503" in DOCUMENT["paths"][path]["get"]["responses"]:
        trackers[1].app.in_recovery = True
        status, problem = await trackers[1].get(path)
        assert status == 503
        check(problem, path, "get", 503)


@pytest.mark.parametrize(
    ("name", "action", "options", "status"),
    [
        ("T-open", "cancel", {}, 202),
        ("T-open", "retry", {}, 409),
        ("T-open", "extend", {"json": {"by": "PT1H"}}, 202),
        ("T-open", "extend", {"json": {"by": "P6D"}}, 409),
        ("T-open", "extend", {"json": {"by": "1h"}}, 400),
        ("T-sending", "retry", {"json": {}}, 202),
        ("T-done", "cancel", {}, 409),
        ("nope", "cancel", {}, 404),
    ],
)
async def test_commands_are_answered_as_it_says(
    trackers: list[HttpTracker], name: str, action: str, options: dict[str, Any], status: int
) -> None:
    found, answer = await trackers[0].ask("POST", f"/v1/transactions/{name}/{action}", **options)
    assert found == status
    check(answer, f"/v1/transactions/{{id}}/{action}", "post", status)


async def test_it_says_which_calls_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.guards.time", SimpleNamespace(monotonic=lambda: 1_000.0))
    limited = {}
    async with two_trackers([*BOOKS], shown, shown, api_rate_per_s=1) as (asked, _):
        for _ in range(2):
            assert (await asked.get("/openapi.json"))[0] == 200
        for path, calls in DOCUMENT["paths"].items():
            for method in calls:
                status, answer = await asked.ask(method.upper(), path.replace("{id}", "T-open"))
                limited[path, method] = status == 429
                check(answer, path, method, status)
    assert limited == {
        (path, method): "429" in call["responses"]
        for path, calls in DOCUMENT["paths"].items()
        for method, call in calls.items()
    }


def test_it_says_what_is_beside_it() -> None:
    described = {path.split("/")[1] for path in DOCUMENT["paths"]}
    assert not described & {"metrics", "table"}
    for path in ("`/metrics`", "`/table/"):
        assert path in DOCUMENT["info"]["description"]


async def test_what_is_served_is_what_is_checked_in(trackers: list[HttpTracker]) -> None:
    assert await trackers[0].get("/openapi.json") == (200, DOCUMENT)
    assert msgspec.json.decode((Path(__file__).parents[2] / "docs/openapi.json").read_bytes()) == DOCUMENT


async def test_every_route_for_programs_is_described(trackers: list[HttpTracker]) -> None:
    routes = trackers[0].app.web.web_app.router.routes()
    found = {(route.method.lower(), re.sub(r":[^}]*}", "}", route.resource.canonical)) for route in routes}
    public = {
        (method, path) for method, path in found if path.startswith(("/v1", "/livez", "/readyz", "/version", "/open"))
    }
    described = {(method, path) for path, calls in DOCUMENT["paths"].items() for method in calls}
    assert {each for each in public if each[0] != "head"} == described


def test_it_names_nothing_that_it_does_not_have() -> None:
    for ref in refs(DOCUMENT):
        kind, name = ref.removeprefix("#/components/").split("/")
        assert name in DOCUMENT["components"][kind]


def test_a_validator_would_notice() -> None:
    answer = view(named("T-open"))
    for wrong in (answer | {"state": "Done"}, answer | {"more": 1}, {**answer, "deadlines": None}):
        with pytest.raises(Exception, match="Failed validating"):
            check(msgspec.to_builtins(wrong), "/v1/transactions/{id}", "get", 200)


def refs(found: Any) -> Iterable[str]:
    if isinstance(found, dict):
        yield from ([found["$ref"]] if "$ref" in found else [])
        for each in found.values():
            yield from refs(each)
    elif isinstance(found, list):
        for each in found:
            yield from refs(each)
