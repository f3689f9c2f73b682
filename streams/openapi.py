"""The API as an OpenAPI 3.1 document, made from the structs of its answers. Pure."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET

from bridge.contract.inbound import TRANSACTION_ID, TRANSACTION_TYPE
from bridge.contract.outbound import Problem
from streams import api_documents as documents
from streams import process_documents
from streams.api_documents import Answer
from streams.commands import ACTIONS, KEY_HEADER, USER_CHARS_MAX, USER_HEADER
from streams.queries import LIMIT_DEFAULT, LIMIT_MAX
from tables.transaction import State

Schema: TypeAlias = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"
_OPEN: Final[Schema] = {"security": []}
_ABOUT: Final = (
    "Any tracker answers for every transaction. Errors are RFC 9457 problem documents. Not described here, and with the"
    " same tokens: `/metrics`, in the format of Prometheus, and `/table/{table}/{key}/`, rows as Faust's own views show"
    " them. `/internal/` is for other trackers, and everything else for browsers. A method that a path does not have is"
    " answered with 405 and the header `Allow`; HEAD is GET without a body, but for events."
)
_TAGS: Final = {
    "transactions": "What is known of results: how far they are, what is missing, and why.",
    "commands": "What somebody may ask to be done. Each is refused with 409 where the state forbids it.",
    "installation": "All transactions together, and the tracker that answers.",
}
_DESCRIPTIONS: Final = {
    "listTransactions": "In the order of their ids, which no change of a transaction moves: whoever follows `next` to"
    " the end sees each once. Closed ones are there until they are forgotten (BRH_DEDUPE_RETENTION_S).",
    "getTransaction": "As its owner shows it: while payloads come, at most a second old. One that the trackers have"
    " forgotten is told of by its outcome in storage, with `fromOutcome`.",
    "getGaps": "The missing ordinals as inclusive ranges, at most 1,000 a series: what a producer has to send again.",
    "explainTransaction": "What it waits for and since when, what time will bring, the last events with their causes,"
    " and the command that helps.",
    "followTransaction": "At most two messages a second, until the outcome is there. `Last-Event-ID` goes on at any"
    " tracker. A client that does not read for 5 s is dropped.",
    "retryTransaction": "For one in SendingCompletion, whose delivery waits for its next try after a failure.",
    "cancelTransaction": "It becomes Abandoned with the code `cancelled`, unless another outcome was written before.",
    "extendTransaction": "For one in AwaitingResults: until when it waits moves by so much, to 6 days after it began at"
    " most. A gap is told as before.",
    "getSummary": "Over all partitions. Rates are means over at most the last `windowS` seconds.",
    "isAlive": "For a liveness probe: it asks nobody, and is not limited.",
    "isReady": "For a readiness probe: 503 while partitions move or tables are read, with how many are recovered.",
    "getVersion": "The release, and the version of this interface.",
    "getOpenApi": "As it is checked in as `docs/openapi.json`.",
}
_PROBLEMS: Final = {
    400: "A parameter, header or body is wrong.",
    401: "A token is missing or wrong.",
    403: "The token may only read, or a page of another site asks.",
    404: "Nothing was ever accepted of the transaction.",
    408: "The body did not come in time.",
    409: "The transaction's state forbids it.",
    429: "Too many requests from this address.",
    503: "Nobody can know just now: partitions move, or tables are being read. Ask again.",
}
_READING: Final = (400, 401, 404, 429, 503)
_WRITING: Final = (400, 401, 403, 404, 408, 409, 429, 503)
_ID: Final[Schema] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": f"^(?!.*[.][.]){TRANSACTION_ID.pattern}$"},
    "description": "Transaction id.",
}
_LISTING: Final[tuple[tuple[str, Schema, str], ...]] = (
    ("state", {"enum": [state.value for state in State]}, "Only those in this state."),
    ("type", {"type": "string", "pattern": f"^{TRANSACTION_TYPE.pattern}$"}, "Only those of this type."),
    ("prefix", {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}, "Only ids that begin like this."),
    ("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}, "Of a page."),
    ("after", {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}, "`next` of the page before."),
)
_COMMAND_HEADERS: Final = (
    (KEY_HEADER, {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}, "The same again is the same command."),
    (USER_HEADER, {"type": "string"}, f"Who it is, up to {USER_CHARS_MAX} characters; kept with the command."),
)


def openapi() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BigResultHandler",
            "version": f"v1 ({version('big-result-handler')})",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": {**_transactions(), **_commands(), **_others()},
        "components": {
            "schemas": _schemas(),
            "responses": {f"Problem{status}": _problem(status) for status in _PROBLEMS},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "BRH_API_READ_TOKEN, for commands BRH_API_OPERATE_TOKEN; none where neither is set.",
                }
            },
        },
    }


def _transactions() -> Schema:
    base = "/v1/transactions"
    listing = [
        {"name": name, "in": "query", "schema": schema, "description": text, "allowEmptyValue": True}
        for name, schema, text in _LISTING
    ]
    events = _get("followTransaction", "Server-Sent Events as it goes.", None, parameters=[_ID])
    said = "Of the last event that was heard: what it told is not told again."
    last = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}, "description": said}
    events["parameters"].append(last)
    events["responses"] = {
        "200": {
            "description": "Events `snapshot`, `progress`, `state` and `end`, each with the transaction as its data.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        "204": {"description": "The end was heard already: do not come back."},
        **events["responses"],
    }
    calls = {
        "": _get("getTransaction", "A transaction in full.", documents.Transaction, parameters=[_ID]),
        "/gaps": _get("getGaps", "What is missing.", documents.Gaps, parameters=[_ID]),
        "/explain": _get("explainTransaction", "Why it is not done yet.", documents.Explained, parameters=[_ID]),
        "/events": events,
    }
    listed = _get("listTransactions", "A page of the list.", documents.TransactionPage, parameters=listing)
    del listed["responses"]["404"]
    return {base: {"get": listed}, **{f"{base}/{{id}}{path}": {"get": call} for path, call in calls.items()}}


def _commands() -> Schema:
    texts = {
        "retry": "Deliver at once what waits for its next try.",
        "cancel": "Give an open transaction up.",
        "extend": "Let a transaction wait longer.",
    }
    parameters = [_ID]
    for name, schema, text in _COMMAND_HEADERS:
        parameters.append({"name": name, "in": "header", "schema": schema, "description": text})
    paths = {}
    for action in ACTIONS:
        body: type[Answer] = documents.Extension if action == "extend" else documents.Nothing
        taken: Schema = {"202": {"description": "It is heard.", "content": _content(documents.CommandTaken)}}
        paths[f"/v1/transactions/{{id}}/{action}"] = {
            "post": {
                **_named(f"{action}Transaction", texts[action], "commands"),
                "parameters": parameters,
                "requestBody": {"required": action == "extend", "content": _content(body)},
                "responses": taken | _problems(_WRITING),
            }
        }
    return paths


def _others() -> Schema:
    said = "Counts by state, the oldest open one, rates."
    summary = _get("getSummary", said, documents.Summary, (401, 429, 503), tag="installation")
    document = _get("getOpenApi", "This document.", None, (401, 429), tag="installation")
    document["responses"]["200"] = {"description": "OpenAPI 3.1.", "content": {_JSON: {"schema": {"type": "object"}}}}
    alive = _get("isAlive", "Whether the process answers.", process_documents.Alive, (), tag="installation")
    ready = _get("isReady", "Whether the tables are recovered.", process_documents.Ready, (503,), tag="installation")
    installed = _get("getVersion", "What is installed.", process_documents.Version, (429,), tag="installation")
    return {
        "/v1/summary": {"get": summary},
        "/livez": {"get": alive | _OPEN},
        "/readyz": {"get": ready | _OPEN},
        "/version": {"get": installed | _OPEN},
        "/openapi.json": {"get": document},
    }


def _get(
    name: str,
    summary: str,
    answer: type[Answer] | None,
    statuses: tuple[int, ...] = _READING,
    parameters: list[Schema] | None = None,
    *,
    tag: str = "transactions",
) -> Schema:
    found = {"200": {"description": answer.__doc__, "content": _content(answer)}} if answer else {}
    call: Schema = {**_named(name, summary, tag), "responses": {**found, **_problems(statuses)}}
    return call | ({"parameters": parameters} if parameters else {})


def _named(name: str, summary: str, tag: str) -> Schema:
    return {"operationId": name, "summary": summary, "description": _DESCRIPTIONS[name], "tags": [tag]}


def _content(answer: type[Answer]) -> Schema:
    return {_JSON: {"schema": {"$ref": _REF.format(name=answer.__name__)}}}


def _problems(statuses: tuple[int, ...]) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}


def _problem(status: int) -> Schema:
    content = {"application/problem+json": {"schema": {"$ref": _REF.format(name="ApiProblem")}}}
    found: Schema = {"description": _PROBLEMS[status], "content": content}
    header = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}.get(status)
    if header is None:
        return found
    said = "Why." if header == "WWW-Authenticate" else "Seconds."
    return found | {"headers": {header: {"description": said, "schema": {"type": "string"}}}}


def _schemas() -> Schema:
    known = {**vars(documents), **vars(process_documents)}
    answers = [each for each in known.values() if isinstance(each, type) and issubclass(each, Answer)]
    _, found = msgspec.json.schema_components([each for each in answers if each is not Answer], ref_template=_REF)
    return {name: _spelled(schema) for name, schema in sorted(found.items())}


def _spelled(schema: Schema) -> Schema:
    """What we write leaves nothing out but what has no value at all."""
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if schema.get("title") == "Problem":
        members = msgspec.structs.fields(Problem)
        schema["required"] = sorted(each.encode_name for each in members if each.default is not UNSET)
    for member in schema.get("properties", {}).values():
        member.pop("default", None)
    return schema
