"""JSON Schemas of everything that producers and consumers see, from the structs that are sent and read.

Draft 7, because that is what AsyncAPI's tools understand. Each file stands for itself. Members that are not listed may
be added to a document in later releases: whoever reads one passes over what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET

from bridge.contract import outbound
from bridge.contract.inbound import PAYLOAD_MAX_BYTES, TOTAL_COUNT_MAX, SeriesType, whole
from bridge.contract.wire import HeaderBody, SeriesBody, TimeoutsBody
from reference import docstrings
from streams.notification import OutcomeNotice

Schema = dict[str, Any]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_REF: Final = "#/definitions/"
_COUNT: Final = msgspec.Meta(ge=1, le=TOTAL_COUNT_MAX)


class PayloadHeaders(msgspec.Struct, frozen=True, omit_defaults=True):
    """AMQP headers of a payload message. `brh_ordinal` is at most `brh_total_count`, which no schema can say."""

    brh_series_type: SeriesType
    brh_ordinal: Annotated[int, _COUNT]
    """An AMQP integer of any width, best 64 bit: not a string, a float or a boolean."""
    brh_total_count: Annotated[int, _COUNT]
    """The same in all payloads of the series."""
    brh_sha256: Annotated[str, whole("[0-9A-Fa-f]{64}")] | None = None
    """SHA-256 of the body: verified while it streams through."""
    brh_content_length: Annotated[int, msgspec.Meta(ge=0, le=PAYLOAD_MAX_BYTES)] | None = None
    """Bytes of the body: verified."""
    traceparent: str | None = None
    """W3C Trace Context; carried to the notification. What is malformed is dropped."""
    tracestate: str | None = None


class HeaderHeaders(msgspec.Struct, frozen=True, omit_defaults=True):
    """AMQP headers of a header message."""

    traceparent: str | None = None
    """W3C Trace Context; carried to the notification. What is malformed is dropped."""
    tracestate: str | None = None


EVENTS: Final[dict[str, tuple[type[msgspec.Struct], Schema]]] = {
    "transaction.accepted": (outbound.Accepted, {}),
    "transaction.gap": (outbound.Gap, {}),
    "transaction.overdue": (outbound.Overdue, {}),
    "transaction.completed": (OutcomeNotice, {"outcome": {"const": "Completed"}, "problem": {"type": "null"}}),
    "transaction.failed": (OutcomeNotice, {"outcome": {"const": "Failed"}, "problem": {"type": "object"}}),
    "transaction.abandoned": (OutcomeNotice, {"outcome": {"const": "Abandoned"}, "problem": {"type": "object"}}),
    "transaction.orphaned": (outbound.Orphaned, {}),
    "message.rejected": (outbound.RejectedMessage, {}),
}
"""Data of each kind of CloudEvent, and what more is known of its members."""

DOCUMENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "header": HeaderBody,
    "header-headers": HeaderHeaders,
    "payload-headers": PayloadHeaders,
    "outcome": outbound.Outcome,
    "told": outbound.Told,
    "orphans": outbound.Orphaned,
    "problem": outbound.Problem,
}

_STRUCTS: Final = {
    each.__name__: each
    for each in (*vars(outbound).values(), HeaderBody, SeriesBody, TimeoutsBody, OutcomeNotice, *DOCUMENTS.values())
    if isinstance(each, type) and issubclass(each, msgspec.Struct)
}


def schemas() -> dict[str, Schema]:
    """Every schema by the name of its file, without `.json`."""
    definitions = _definitions()
    found = {name: _whole(name, {"$ref": _REF + each.__name__}, definitions) for name, each in DOCUMENTS.items()}
    for kind in EVENTS:
        found[kind] = _whole(kind, _event(kind, definitions["CloudEvent"]), definitions)
    return found


def _definitions() -> dict[str, Schema]:
    structs = [outbound.CloudEvent, *DOCUMENTS.values(), *(data for data, _ in EVENTS.values())]
    _, found = msgspec.json.schema_components(structs, ref_template=_REF + "{name}")
    for name, schema in found.items():
        said = docstrings.members(_STRUCTS[name])
        spelled = dict(zip(_STRUCTS[name].__struct_fields__, _STRUCTS[name].__struct_encode_fields__, strict=True))
        for member, text in said.items():
            if member in spelled and spelled[member] in schema["properties"]:
                schema["properties"][spelled[member]]["description"] = text
        schema["description"] = " ".join(schema.get("description", "").split())
        if issubclass(_STRUCTS[name], outbound.Public):
            _all_written(schema, _STRUCTS[name])
    return {name: _draft_7(schema) for name, schema in found.items()}


def _all_written(schema: Schema, struct: type[msgspec.Struct]) -> None:
    """In what we write nothing is left out that has a value, a default or not."""
    schema["required"] = [each.encode_name for each in msgspec.structs.fields(struct) if each.default is not UNSET]
    for member in schema["properties"].values():
        member.pop("default", None)


def _event(kind: str, envelope: Schema) -> Schema:
    data, known = EVENTS[kind]
    of_transaction = kind.startswith("transaction.")
    ref: Schema = {"$ref": _REF + data.__name__}
    members = {
        "specversion": {"const": "1.0"},
        "source": {"type": "string", "pattern": "^/brh/"},
        "type": {"const": f"brh.{kind}.v1"},
        "datacontenttype": {"const": "application/json"},
        "data": {"allOf": [ref, {"properties": known}]} if known else ref,
    }
    event = deepcopy(envelope)
    event["title"] = f"brh.{kind}.v1"
    event["properties"] |= members
    # A message that was refused may have had an id that cannot be one.
    event["required"] += ["subject", "correlationid"] if of_transaction else []
    return event


def _whole(name: str, root: Schema, definitions: dict[str, Schema]) -> Schema:
    """A schema with the definitions that it needs."""
    needed: set[str] = set()
    todo = [root]
    while todo:
        for ref in _refs(todo.pop()):
            if ref not in needed:
                needed.add(ref)
                todo.append(definitions[ref])
    head = {"$schema": DRAFT, "$id": f"urn:brh:schema:{name}"}
    if "$ref" in root:  # in draft 7 nothing beside a reference counts
        own = root["$ref"].removeprefix(_REF)
        return head | definitions[own] | {"definitions": {each: definitions[each] for each in sorted(needed - {own})}}
    return head | root | {"definitions": {each: definitions[each] for each in sorted(needed)}}


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref":
                yield value.removeprefix(_REF)
            else:
                yield from _refs(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _refs(each)


def _draft_7(schema: Any) -> Any:
    """The same in the words of draft 7."""
    if isinstance(schema, list):
        return [_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _draft_7(value) for name, value in schema.items()}
    if "prefixItems" in found:  # a range: both its items are of one kind
        items = found.pop("prefixItems")
        assert all(each == items[0] for each in items)
        found["items"] = items[0]
    if "$ref" in found and len(found) > 1:
        ref = found.pop("$ref")
        found["allOf"] = [{"$ref": ref}]
    return found
