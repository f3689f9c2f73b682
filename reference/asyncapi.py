"""`docs/asyncapi.yaml`: what is exchanged over RabbitMQ and Kafka, from the topology, the topics and the schemas."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from bridge import topology
from bridge.contract import inbound
from bridge.contract.outbound import CLOUDEVENT_CONTENT_TYPE
from bridge.envelope import REPLY_TO_MAX_BYTES
from reference.examples import examples
from reference.schemas import EVENTS
from streams.topics import Topics

Node = dict[str, Any]

_JSON_SCHEMA: Final = "application/schema+json;version=draft-07"
_AMQP: Final = {"bindingVersion": "0.3.0"}
_KAFKA: Final = {"bindingVersion": "0.5.0"}
_TOPICS: Final = Topics("brh", 64)
"""As the settings have it where nobody says otherwise."""
_OUTCOMES: Final = ("completed", "failed", "abandoned")
_KINDS: Final = tuple(kind.removeprefix("transaction.") for kind in EVENTS if kind.startswith("transaction."))
_TOLD: Final = tuple(kind for kind in _KINDS if kind != "orphaned")
"""On the outbound exchange."""

_MEANS: Final = {
    "header": "Which series a transaction has, and how many payloads each. The first one counts.",
    "payload": "A piece of a series: the bytes of one ordinal, in any order and any number of times.",
    "accepted": "The header of a transaction has come.",
    "gap": "Nothing new comes, and something is missing; its problem names what.",
    "overdue": "Outcome or notification take longer than they should. They are tried on.",
    "completed": "The result is in storage, whole, or with `partial` as far as it came.",
    "failed": "The result cannot be made; its problem says why.",
    "abandoned": "The result was given up; its problem says why, and what is missing.",
    "orphaned": "What came and is in no result; its blocks are removed.",
    "rejected": "A message does not keep the contract; its problem says what to change.",
}
_KEPT: Final = {
    topology.HEADERS: "Where bridges take headers from.",
    topology.PAYLOADS: "Where bridges take payloads of any size from.",
    topology.SMALL_PAYLOADS: "Where bridges take small payloads from, many at once.",
    topology.REJECTED: "Messages that were refused, whole, until somebody looks (`brh dlq`).",
    topology.ORPHANS: "Records of what came and is in no result.",
    topology.NOTIFICATIONS: "Every event of a transaction, for whoever has no queue of their own.",
}

_SENT: Final = {
    "delivery_mode": {"const": 2, "description": "Persistent; expected, not checked."},
    "message_id": {"type": "string", "description": "Free; reported back in a rejection."},
    "app_id": {"type": "string", "description": "Free; reported back in a rejection."},
    "timestamp": {"description": "Free."},
}


def asyncapi() -> Node:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "BigResultHandler",
            "version": version("big-result-handler"),
            "description": "Big results come in as messages in any order and any number of times; they are assembled in"
            " Azure Blob Storage, and one outcome of each transaction is told at least once.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {"host": "127.0.0.1:5672", "protocol": "amqp", "description": "BRH_AMQP_URL"},
            "kafka": {"host": "127.0.0.1:9092", "protocol": "kafka", "description": "BRH_KAFKA_BOOTSTRAP"},
        },
        "channels": _intake() | _outlets() | _queues() | {"outcomesTopic": _topic()},
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "correlationIds": {
                "transaction": {
                    "description": "The transaction id, in the AMQP property `correlation_id`.",
                    "location": "$message.header#/correlation_id",
                }
            },
        },
    }


def _exchange(address: str, exchange: str, messages: list[str], description: str, **parameters: Node) -> Node:
    found: Node = {
        "address": address,
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "description": description,
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in messages},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange,
                    "type": topology.EXCHANGES[exchange],
                    "durable": True,
                    "autoDelete": False,
                },
                **_AMQP,
            }
        },
    }
    return found | ({"parameters": parameters} if parameters else {})


_TRANSACTION_TYPE: Final = {"description": f"{inbound.TRANSACTION_TYPE.pattern}; `default` where the header has none."}
_SERIES_TYPE: Final = {"description": "The same as `brh_series_type`. Nothing is read from it."}


def _intake() -> Node:
    small, large = inbound.SMALL_PAYLOAD_BYTES, inbound.PAYLOAD_MAX_BYTES
    said = {
        "headers": ("header.{transactionType}", "header", "One header for each transaction, before or after payloads."),
        "payloads": ("payload.{seriesType}", "payload", f"Payloads of up to {large} bytes."),
        "smallPayloads": (
            "small.{seriesType}",
            "payload",
            f"Payloads below {small} bytes: the same as on `payload.`, and faster.",
        ),
    }
    return {
        name: _exchange(
            address,
            topology.INBOUND_EXCHANGE,
            [message],
            description,
            **({"transactionType": _TRANSACTION_TYPE} if name == "headers" else {"seriesType": _SERIES_TYPE}),
        )
        for name, (address, message, description) in said.items()
    }


def _outlets() -> Node:
    told = {
        f"{kind}Notices": _exchange(
            f"transaction.{kind}.{{transactionType}}",
            topology.OUTBOUND_EXCHANGE,
            [kind],
            "Told at least once; the copies have one id and the same bytes. They also go to the header's `reply_to`.",
            transactionType=_TRANSACTION_TYPE,
        )
        for kind in _TOLD
    }
    rejected = _exchange(
        "message.rejected.{code}",
        topology.OUTBOUND_EXCHANGE,
        ["rejected"],
        f"A message was refused. The message itself is in queue {topology.REJECTED}.",
        code={"enum": [str(code) for code in inbound.RejectionCode], "description": "Why."},
    )
    return told | {"rejectedNotices": rejected}


def _queues() -> Node:
    """Every queue that `brh setup` declares, with its arguments and its binding."""
    messages = {
        topology.HEADERS: ["header"],
        topology.PAYLOADS: ["payload"],
        topology.SMALL_PAYLOADS: ["payload"],
        topology.REJECTED: ["header", "payload"],
        topology.ORPHANS: ["orphaned"],
        topology.NOTIFICATIONS: [*_TOLD],
    }
    found = {}
    for queue in topology.QUEUES:
        bound: Node = {"x-arguments": queue.arguments}
        if queue.exchange is not None:
            bound["x-bound-to"] = {"exchange": queue.exchange, "routingKey": queue.binding}
        found[queue.name] = {
            "address": queue.name,
            "servers": [{"$ref": "#/servers/rabbitmq"}],
            "description": _KEPT[queue.name],
            "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in messages[queue.name]},
            "bindings": {
                "amqp": {
                    "is": "queue",
                    "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False},
                    **bound,
                    **_AMQP,
                }
            },
        }
    return found


def _topic() -> Node:
    (spec,) = (each for each in _TOPICS.specs() if each.name == _TOPICS.outcomes)
    kept = {name: int(value) if value.isdecimal() else value for name, value in spec.config.items()}
    return {
        "address": spec.name,
        "servers": [{"$ref": "#/servers/kafka"}],
        "description": "Outcomes only, under the transaction id as the key. `BRH_NAMESPACE` replaces the prefix `brh`.",
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in _OUTCOMES},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "topicConfiguration": {**kept, "cleanup.policy": [kept["cleanup.policy"]]},
                **_KAFKA,
            }
        },
    }


def _operations() -> Node:
    """Seen from BigResultHandler, as AsyncAPI wants it: it receives what producers send."""
    receive = {
        "receiveHeader": ("headers", "Send one header a transaction."),
        "receivePayload": ("payloads", "Send a payload."),
        "receiveSmallPayload": ("smallPayloads", "Send a small payload."),
    }
    found = {name: _operation("receive", channel, said) for name, (channel, said) in receive.items()}
    for kind in _TOLD:
        found[f"send{kind.capitalize()}"] = _operation("send", f"{kind}Notices", f"Hear `{kind}`.")
    found["sendRejected"] = _operation("send", "rejectedNotices", "Hear of messages that were refused.")
    found["sendOrphaned"] = _operation("send", topology.ORPHANS, "Hear of payloads that are in no result.")
    found["publishOutcome"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/outcomesTopic"},
        "summary": "Read outcomes from Kafka.",
    }
    return found


def _operation(action: str, channel: str, summary: str) -> Node:
    sent = {"deliveryMode": 2, "mandatory": True} if action == "receive" else {"deliveryMode": 2, "ack": True}
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"amqp": {**sent, **_AMQP}},
    }


def _messages() -> Node:
    ids = {
        "correlation_id": {
            "type": "string",
            "description": f"Transaction id: {inbound.TRANSACTION_ID.pattern}, no `..`.",
        }
    }
    reply_to = {"type": "string", "maxLength": REPLY_TO_MAX_BYTES, "description": "Queue that is told as well."}
    sent = {
        "header": {
            "headers": {"$ref": "./schemas/header-headers.json"},
            "payload": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": "./schemas/header.json"}},
            "contentType": "application/json",
            "bindings": {"amqp": {"messageType": inbound.HEADER_TYPE, **_AMQP}},
            "x-amqp-properties": {"type": {"const": inbound.HEADER_TYPE}, **ids, "reply_to": reply_to, **_SENT},
            "x-body-max-bytes": inbound.HEADER_MAX_BYTES,
        },
        "payload": {
            "headers": {"$ref": "./schemas/payload-headers.json"},
            "payload": {
                "type": "string",
                "format": "binary",
                "description": "Raw bytes; nothing of them is looked at.",
            },
            "contentType": "application/octet-stream",
            "bindings": {"amqp": {"messageType": inbound.PAYLOAD_TYPE, **_AMQP}},
            "x-amqp-properties": {"type": {"const": inbound.PAYLOAD_TYPE}, **ids, **_SENT},
            "x-body-max-bytes": inbound.PAYLOAD_MAX_BYTES,
        },
    }
    for kind in EVENTS:
        name = kind.rpartition(".")[2]
        kafka = {"kafka": {"key": {"type": "string"}, **_KAFKA}} if name in _OUTCOMES else {}
        sent[name] = {
            "payload": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": f"./schemas/{kind}.json"}},
            "contentType": CLOUDEVENT_CONTENT_TYPE,
            "bindings": {"amqp": {"messageType": f"brh.{kind}.v1", **_AMQP}, **kafka},
            "x-amqp-properties": {
                "message_id": {"type": "string", "description": "The CloudEvent's id: deduplicate on (source, id)."},
                **ids,
            },
        }
    correlated = {"correlationId": {"$ref": "#/components/correlationIds/transaction"}}
    given = examples()
    return {
        name: {"name": name, "summary": _MEANS[name], **message, **correlated, "examples": [given[name]]}
        for name, message in sent.items()
    }
