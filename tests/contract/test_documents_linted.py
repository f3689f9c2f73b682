"""What a linter would say of the documents for other people's tools: everything is named, explained, used and shown."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.contract.inbound import RejectionCode
from bridge.envelope import Properties, parse_header, parse_payload
from reference.pages import DOCS
from reference.schemas import EVENTS
from streams.openapi import _DESCRIPTIONS
from tests.support.public import wrong, wrong_event

OPENAPI = json.loads((DOCS / "openapi.json").read_text())
ASYNCAPI = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
SENTENCE = re.compile(r"(?s)[A-Z`].*[.]")


# --- both


def references(node: Any) -> Iterator[str]:
    """Every reference in a document, with what it says about where it leads."""
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(each)
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]


def follow(document: Any, reference: str) -> Any:
    """What a reference leads to; None for nothing."""
    file, _, pointer = reference.partition("#")
    if file:
        path = Path(DOCS / file)
        return json.loads(path.read_text()) if path.is_file() and not pointer else None
    for step in filter(None, pointer.split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(document, dict) or name not in document:
            return None
        document = document[name]
    return document


def lost(document: Any) -> list[str]:
    """References that lead nowhere."""
    return [each for each in references(document) if follow(document, each) is None]


def unused(document: Any) -> set[str]:
    """Components that nothing outside of them leads to."""
    every = {f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named}
    todo = [{name: part for name, part in document.items() if name != "components"}]
    used: set[str] = set()
    while todo:
        for each in references(todo.pop()):
            if each.startswith("#/components/") and each not in used:
                used.add(each)
                todo.append(follow(document, each))
    # Security schemes are named without a reference.
    schemes = {f"#/components/securitySchemes/{name}" for each in document.get("security", ()) for name in each}
    return every - used - schemes


def without_sentence(nodes: dict[str, Any], *names: str) -> list[str]:
    """Whichever says nothing in any of these members, or no sentence."""
    said = {at: [node[name] for name in names if name in node] for at, node in nodes.items()}
    return [at for at, texts in said.items() if not texts or not all(map(SENTENCE.fullmatch, texts))]


# --- OpenAPI


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method} {path}": call
        for path, calls in document["paths"].items()
        for method, call in calls.items()
        if method in METHODS
    }


def wrong_in_openapi(document: Any) -> list[str]:
    calls = operations(document)
    twice = Counter(call.get("operationId") for call in calls.values())
    tags = {each["name"]: each for each in document.get("tags", ())}
    parameters = {f"{at} {each['name']}": each for at, call in calls.items() for each in call.get("parameters", ())}
    answers = {f"{at} {status}": each for at, call in calls.items() for status, each in call["responses"].items()}
    answers |= {f"{name}": each for name, each in document["components"]["responses"].items()}
    own = {at: each for at, each in answers.items() if "$ref" not in each}
    headers = {f"{at} {name}": each for at, one in own.items() for name, each in one.get("headers", {}).items()}
    return [
        *(f"{at} has the operationId of another" for at, call in calls.items() if twice[call.get("operationId")] > 1),
        *(f"{at} has no operationId" for at, call in calls.items() if not call.get("operationId")),
        *(f"{at} has no summary" for at in without_sentence(calls, "summary")),
        *(f"{at} has no description" for at in without_sentence(calls, "description")),
        *(f"{at} repeats its summary" for at, call in calls.items() if call.get("description") == call.get("summary")),
        *(f"{at} has no tag that is described" for at, call in calls.items() if not {*call.get("tags", ())} & {*tags}),
        *(f"tag {name} is not described" for name in without_sentence(tags, "description")),
        *(
            f"tag {name} is not used"
            for name in tags
            if not any(name in call.get("tags", ()) for call in calls.values())
        ),
        *(f"{at} does not declare its path's parameters" for at, call in calls.items() if undeclared(at, call)),
        *(f"parameter {at} is not described" for at in without_sentence(parameters, "description")),
        *(f"answer {at} is not described" for at in without_sentence(own, "description")),
        *(f"header {at} is not described" for at in without_sentence(headers, "description")),
        *(f"{name} is not used" for name in sorted(unused(document))),
        *(f"{each} leads nowhere" for each in lost(document)),
        *(f"schema {at} is not described" for at in without_sentence(document["components"]["schemas"], "description")),
        *(
            f"{at} has no answer that is none"
            for at, call in calls.items()
            if not any(s < "3" for s in call["responses"])
        ),
    ]


def undeclared(at: str, call: Any) -> bool:
    declared = {each["name"] for each in call.get("parameters", ()) if each["in"] == "path" and each.get("required")}
    return declared != set(re.findall(r"{([^}]*)}", at))


def test_the_openapi_document_is_without_a_fault() -> None:
    assert wrong_in_openapi(OPENAPI) == []
    assert len(operations(OPENAPI)) >= 13


def test_no_description_of_an_operation_is_left_over() -> None:
    assert {*_DESCRIPTIONS} == {call["operationId"] for call in operations(OPENAPI).values()}


GAPS = "/v1/transactions/{id}/gaps"


def _same_id(found: Any) -> None:
    found["paths"][GAPS]["get"]["operationId"] = "getTransaction"


def _no_summary(found: Any) -> None:
    del found["paths"][GAPS]["get"]["summary"]


def _no_description(found: Any) -> None:
    found["paths"][GAPS]["get"]["description"] = ""


def _other_tag(found: Any) -> None:
    found["paths"][GAPS]["get"]["tags"] = ["other"]


def _no_parameters(found: Any) -> None:
    del found["paths"][GAPS]["get"]["parameters"]


def _never_used(found: Any) -> None:
    found["components"]["responses"]["Problem405"] = {"description": "The path has no such method."}


def _used_by_itself(found: Any) -> None:
    circle = {"description": "A circle.", "items": {"$ref": "#/components/schemas/Circle"}}
    found["components"]["schemas"]["Circle"] = circle


def _leads_nowhere(found: Any) -> None:
    del found["components"]["schemas"]["Gaps"]


def _unused_tag(found: Any) -> None:
    found["tags"].append({"name": "more", "description": "Nothing has it."})


@pytest.mark.parametrize(
    "fault",
    [
        _same_id, _no_summary, _no_description, _other_tag, _unused_tag, _no_parameters, _never_used, _used_by_itself,
        _leads_nowhere,
    ],
)  # fmt: skip
def test_a_fault_in_an_openapi_document_is_seen(fault: Any) -> None:
    broken = deepcopy(OPENAPI)
    fault(broken)
    assert wrong_in_openapi(broken)


# --- AsyncAPI


def wrong_in_asyncapi(document: Any) -> list[str]:
    messages = document["components"]["messages"]
    sent = {each["channel"]["$ref"] for each in document["operations"].values()}
    # From queues consumers read what the channels of exchanges have sent there.
    channels = {
        name: each
        for name, each in document["channels"].items()
        if each["bindings"].get("amqp", {}).get("is") != "queue"
    }
    parameters = {
        f"{at} {name}": one for at, each in channels.items() for name, one in each.get("parameters", {}).items()
    }
    return [
        *(f"operation {at} says nothing" for at in without_sentence(document["operations"], "summary")),
        *(f"channel {at} says nothing" for at in without_sentence(document["channels"], "description")),
        *(f"message {at} says nothing" for at in without_sentence(messages, "summary")),
        *(f"message {at} has another name" for at, each in messages.items() if each.get("name") != at),
        *(f"parameter {at} says nothing" for at, each in parameters.items() if not each.get("description")),
        *(f"channel {at} does not declare its address's parameters" for at, each in channels.items()
          if {*each.get("parameters", {})} != set(re.findall(r"{([^}]*)}", each["address"]))),
        *(f"nobody sends to {at}" for at in channels if f"#/channels/{at}" not in sent),
        *(f"{name} is not used" for name in sorted(unused(document))),
        *(f"{each} leads nowhere" for each in lost(document)),
        *(f"message {at} has no example" for at, each in messages.items() if not each.get("examples")),
        *(f"example of {at}: {said}" for at, each in messages.items() for one in each.get("examples", ())
          for said in unfit(at, each, one)),
    ]  # fmt: skip


def unfit(name: str, message: Any, example: Any) -> list[str]:
    """What is wrong with an example of a message."""
    found = []
    if "headers" in message:
        found += wrong(Path(message["headers"]["$ref"]).stem, example.get("headers", {}))
    schema = message["payload"].get("schema", {}).get("$ref")
    if name in {kind.rpartition(".")[2] for kind in EVENTS}:
        body = json.dumps(example["payload"]).encode()
        expected = Path(schema).name.removesuffix(".json")
        if example["payload"].get("type") != f"brh.{expected}.v1":
            return [*found, f"it is a {example['payload'].get('type')}"]
        return [*found, *wrong_event(body)]
    if schema is None:
        return found if isinstance(example["payload"], str) else [*found, "it is no text"]
    return found + wrong(Path(schema).name.removesuffix(".json"), example["payload"])


def test_the_asyncapi_document_is_without_a_fault() -> None:
    assert wrong_in_asyncapi(ASYNCAPI) == []
    assert len(ASYNCAPI["components"]["messages"]) == len(EVENTS) + 2


def test_what_the_examples_send_is_accepted() -> None:
    messages = ASYNCAPI["components"]["messages"]
    (header,), (payload,) = messages["header"]["examples"], messages["payload"]["examples"]
    sent = Properties("brh.header.v1", "T1", "application/json", headers=header["headers"])
    assert not hasattr(parse_header(sent, json.dumps(header["payload"]).encode()), "reason")
    body = payload["payload"].encode()
    sent = Properties("brh.payload.v1", "T1", headers=payload["headers"])
    assert not hasattr(parse_payload(sent, len(body)), "reason")
    assert payload["headers"]["brh_content_length"] == len(body)
    code = messages["rejected"]["examples"][0]["payload"]["data"]["problem"]["code"]
    assert code in set(RejectionCode)


def _silent_operation(found: Any) -> None:
    del found["operations"]["receiveHeader"]["summary"]


def _silent_queue(found: Any) -> None:
    del found["channels"]["brh.rejected"]["description"]


def _silent_message(found: Any) -> None:
    found["components"]["messages"]["gap"]["summary"] = ""


def _no_example(found: Any) -> None:
    del found["components"]["messages"]["gap"]["examples"]


def _wrong_example(found: Any) -> None:
    del found["components"]["messages"]["gap"]["examples"][0]["payload"]["data"]["sequence"]


def _example_of_another(found: Any) -> None:
    messages = found["components"]["messages"]
    messages["gap"]["examples"] = messages["overdue"]["examples"]


def _wrong_headers(found: Any) -> None:
    found["components"]["messages"]["payload"]["examples"][0]["headers"]["brh_ordinal"] = 0


def _left_over(found: Any) -> None:
    found["components"]["messages"]["more"] = {**found["components"]["messages"]["gap"], "name": "more"}


def _no_file(found: Any) -> None:
    found["components"]["messages"]["gap"]["payload"]["schema"]["$ref"] = "./schemas/nothing.json"


def _nobody_sends(found: Any) -> None:
    del found["operations"]["publishOutcome"]


@pytest.mark.parametrize(
    "fault",
    [
        _silent_operation, _silent_queue, _silent_message, _no_example, _wrong_example, _example_of_another,
        _wrong_headers, _left_over, _nobody_sends,
    ],
)  # fmt: skip
def test_a_fault_in_an_asyncapi_document_is_seen(fault: Any) -> None:
    broken = deepcopy(ASYNCAPI)
    fault(broken)
    assert wrong_in_asyncapi(broken)


def test_a_reference_to_no_file_is_seen() -> None:
    broken = deepcopy(ASYNCAPI)
    _no_file(broken)
    assert lost(broken) == ["./schemas/nothing.json"]
