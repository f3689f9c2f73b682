"""The documents for other people's tools say what the code does: what we accept, they accept, and what we tell fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, SchemaError

from bridge import topology
from bridge.contract.inbound import RejectionCode
from reference.pages import DOCS, differing
from reference.schemas import DOCUMENTS, EVENTS, schemas
from streams.cli.payloads import Payload, header_message, payload_message
from tests.golden.releases import RELEASES, files
from tests.rules.test_envelope import (
    ACCEPTED_BODIES,
    ACCEPTED_PAYLOADS,
    REFUSED_BODIES,
    REFUSED_PAYLOADS,
)
from tests.support.public import validator, wrong, wrong_event

ROOT = DOCS.parent
ASYNCAPI = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
NOTIFICATIONS = [
    (release, name) for release in RELEASES for name in files(release) if name.startswith("notifications/")
]


def test_every_file_is_as_the_code_says() -> None:
    assert differing() == [], "python -m reference"


@pytest.mark.parametrize("name", schemas())
def test_every_schema_is_one(name: str) -> None:
    Draft7Validator.check_schema(json.loads((DOCS / "schemas" / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", schemas())
def test_every_member_says_something_or_its_name_does(name: str) -> None:
    schema = json.loads((DOCS / "schemas" / f"{name}.json").read_text())
    described = [schema, *schema["definitions"].values()]
    assert all(each.get("description") for each in described)


# --- what is told


@pytest.mark.parametrize(("release", "name"), NOTIFICATIONS)
def test_what_a_release_has_told_fits(release: str, name: str) -> None:
    assert wrong_event(files(release)[name]) == []


@pytest.mark.parametrize("release", RELEASES)
def test_documents_that_a_release_has_left_in_storage_fit(release: str) -> None:
    kept = files(release)
    found = {name: "outcome" for name in kept if name.startswith("outcomes/")}
    for name, schema in {**found, "told.json": "told", "orphans.json": "orphans"}.items():
        assert wrong(schema, json.loads(kept[name])) == [], name


def damaged(document: Any, at: str = "$") -> Iterator[tuple[str, Any]]:
    """The document without each of its members in turn."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield f"{at}.{name}", {key: each for key, each in document.items() if key != name}
            for place, changed in damaged(value, f"{at}.{name}"):
                yield place, {**document, name: changed}
    elif isinstance(document, list):
        for index, value in enumerate(document):
            for place, changed in damaged(value, f"{at}[{index}]"):
                yield place, [*document[:index], changed, *document[index + 1 :]]


OPTIONAL = {"traceparent", "tracestate", "contentType", "totalCount", "received", "missing", "rangesTruncated"}
"""Members that a document may lack somewhere."""
FREE = ("$.data.labels.", "$.data.problem.missing.")


@pytest.mark.parametrize(("release", "name"), NOTIFICATIONS)
def test_a_notification_without_one_of_its_members_does_not_fit(release: str, name: str) -> None:
    whole = json.loads(files(release)[name])
    for place, changed in damaged(whole):
        if place.rpartition(".")[2] not in OPTIONAL and not place.startswith(FREE) and place != "$.type":
            assert wrong_event(json.dumps(changed).encode()), f"{name} fits without {place}"


@pytest.mark.parametrize("name", ["gap", "abandoned"])
def test_a_problem_may_say_that_more_is_missing_than_it_names(name: str) -> None:
    whole = json.loads(files("0.1.0")[f"notifications/{name}.json"])
    for said, fits in ((True, True), (False, True), ("yes", False), (None, False)):
        whole["data"]["problem"]["missingTruncated"] = said
        assert (wrong_event(json.dumps(whole).encode()) == []) is fits, said


def test_an_outcome_of_another_kind_does_not_fit() -> None:
    whole = json.loads(files("0.1.0")["notifications/completed.json"])
    whole["data"]["outcome"] = "Failed"
    assert wrong_event(json.dumps(whole).encode())


# --- what is sent


def written(body: str | bytes) -> Any:
    """The JSON value of a body, as other people's parsers read it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return ...


BEYOND_SCHEMAS = {
    "member twice", "member twice in a series", "member twice deep in the unknown",
    "half a surrogate pair", "half a surrogate pair as a name", "surrogates the wrong way round", "NaN", "Infinity",
    "-Infinity", "byte order mark", "nested one too deep", "number of 513 characters", "UTF-16",
    "exponent beyond Python's limit", "unknown integer beyond Python's limit",
    "series type twice",
    "total count 1.0", "total count 1e2",
    "timeout 0", "timeout below 1 s", "timeout above 6 days", "timeout above 6 days in hours",
}  # fmt: skip
"""What only a reader of the bytes sees, and rules between members or within a duration."""


@pytest.mark.parametrize(("name", "body", "_"), REFUSED_BODIES, ids=[name for name, _, _ in REFUSED_BODIES])
def test_a_header_that_is_refused_does_not_fit(name: str, body: str | bytes, _: RejectionCode) -> None:
    value = written(body)
    if value is not ...:
        assert bool(wrong("header", value)) is (name not in BEYOND_SCHEMAS)


def test_what_schemas_cannot_say_is_refused_by_the_rules() -> None:
    assert {name for name, _, _ in REFUSED_BODIES} >= BEYOND_SCHEMAS


@pytest.mark.parametrize(("name", "body", "_"), ACCEPTED_BODIES, ids=[name for name, _, _ in ACCEPTED_BODIES])
def test_a_header_that_is_accepted_fits(name: str, body: str | bytes, _: Any) -> None:
    assert wrong("header", json.loads(body)) == []


def headers(changes: dict[str, Any]) -> dict[str, Any]:
    """The AMQP headers of a row of the rules' tests, without what is void."""
    good = {"brh_series_type": "cashflows", "brh_ordinal": 2, "brh_total_count": 3}
    changed = {name: value for name, value in changes.items() if name.startswith(("brh_", "trace"))}
    return good | changed


def is_no_json(value: object) -> bool:
    return isinstance(value, bytes | Decimal | datetime) or (isinstance(value, int) and value > 1 << 64)


BETWEEN_HEADERS = {
    "ordinal above the total count", "length too short", "length too long", "length 0 of something",
    "ordinal a float", "total count a float", "length a float",
}  # fmt: skip
"""JSON Schema counts 2.0 as an integer; AMQP does not."""


@pytest.mark.parametrize(("name", "changes", "code"), REFUSED_PAYLOADS, ids=[name for name, _, _ in REFUSED_PAYLOADS])
def test_a_payload_whose_headers_are_refused_does_not_fit(name: str, changes: dict[str, Any], code: Any) -> None:
    found = headers(changes)
    if any(each.startswith("brh_") for each in changes) and not any(map(is_no_json, found.values())):
        assert bool(wrong("payload-headers", found)) is (name not in BETWEEN_HEADERS)


@pytest.mark.parametrize(("name", "changes"), ACCEPTED_PAYLOADS, ids=[name for name, _ in ACCEPTED_PAYLOADS])
def test_a_payload_whose_headers_are_accepted_fits(name: str, changes: dict[str, Any]) -> None:
    assert wrong("payload-headers", headers(changes)) == []


# --- AsyncAPI


def test_the_asyncapi_document_is_one() -> None:
    schema = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())
    found = sorted(Draft7Validator(schema).iter_errors(ASYNCAPI), key=lambda error: error.json_path)
    assert [f"{error.json_path}: {error.message[:200]}" for error in found] == []


def test_a_mistake_in_an_asyncapi_document_is_seen() -> None:
    schema = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())
    broken = deepcopy(ASYNCAPI)
    broken["channels"]["headers"]["bindings"]["amqp"]["is"] = "exchange"
    assert list(Draft7Validator(schema).iter_errors(broken))


# --- OpenAPI


OPENAPI = json.loads((DOCS / "openapi.json").read_text())


def wrong_in_openapi(document: Any) -> list[str]:
    schema = json.loads((Path(__file__).parent / "openapi-3.1.json").read_text())
    found = sorted(Draft202012Validator(schema).iter_errors(document), key=lambda error: error.json_path)
    for each in document["components"]["schemas"].values():  # of which it says only that they are schemas
        Draft202012Validator.check_schema(each)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def test_the_openapi_document_is_one() -> None:
    assert wrong_in_openapi(OPENAPI) == []


def test_a_mistake_in_an_openapi_document_is_seen() -> None:
    broken = deepcopy(OPENAPI)
    del broken["paths"]["/v1/summary"]["get"]["responses"]["200"]["description"]
    assert wrong_in_openapi(broken)
    broken = deepcopy(OPENAPI)
    broken["paths"]["/v1/transactions"]["get"]["parameters"][0]["in"] = "body"
    assert wrong_in_openapi(broken)
    broken = deepcopy(OPENAPI)
    broken["components"]["schemas"]["ApiProblem"]["properties"]["remedy"]["type"] = "text"
    with pytest.raises(SchemaError):
        wrong_in_openapi(broken)


# --- references and contents of the AsyncAPI document


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(ASYNCAPI))
    assert {f"./schemas/{kind}.json" for kind in EVENTS} < found
    for reference in found:
        file, _, place = reference.partition("#")
        if file:
            assert (DOCS / file).is_file(), reference
            continue
        node = ASYNCAPI
        for step in place.strip("/").split("/"):
            node = node[step]


def test_all_exchanges_queues_and_codes_are_in_it() -> None:
    channels = ASYNCAPI["channels"].values()
    amqp = [each["bindings"]["amqp"] for each in channels if "amqp" in each["bindings"]]
    exchanges = {each["exchange"]["name"] for each in amqp if "exchange" in each}
    queues = {each["queue"]["name"]: each for each in amqp if "queue" in each}
    assert exchanges == {topology.INBOUND_EXCHANGE, topology.OUTBOUND_EXCHANGE}
    assert {queue.name: queue.arguments for queue in topology.QUEUES} == {
        name: each["x-arguments"] for name, each in queues.items()
    }
    rejected = ASYNCAPI["channels"]["rejectedNotices"]["parameters"]["code"]["enum"]
    assert rejected == [str(code) for code in RejectionCode]


def test_every_document_has_a_schema_and_no_schema_is_left_over() -> None:
    assert {each.stem for each in (DOCS / "schemas").glob("*.json")} == {*DOCUMENTS, *EVENTS}
    assert all(validator(name) for name in schemas())


def test_what_our_own_producer_sends_fits() -> None:
    header = header_message("T1", "valuation", {"cashflows": 128, "empty": 0})
    assert wrong("header", json.loads(header.body)) == []
    payload = payload_message("T1", Payload("cashflows", 128, 1), 128, b"bytes")
    assert wrong("payload-headers", payload.headers) == []
