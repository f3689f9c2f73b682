"""What helps against what went wrong, by the code that a problem, a notification or a rejection has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CONTRADICTION: Final = "Mend the producer, and send the result under another transaction id."
_SEND: Final = "Send what is missing: `brh send {id} --only-missing`, with the same --series as before."
_RETRY: Final = "It is tried again by itself; `brh retry {id}` tries at once."

REMEDIES: Final[Mapping[str, str]] = {
    "gap": _SEND,
    "timeout": "Send the result under another transaction id, or give the type more time in the types file.",
    "no-header": "Have the producer send the header, under another transaction id.",
    "cancelled": "An outcome never changes: send the result under another transaction id.",
    "conflicting-payload": _CONTRADICTION,
    "conflicting-total-count": _CONTRADICTION,
    "conflicting-header": _CONTRADICTION,
    "unknown-series": "List the series in the header, and send the result under another transaction id.",
    "early-limit": "Have the producer send the header first, or raise the limits of the type in the types file.",
    "too-many-series": "Split the result into several transactions.",
    "too-many-payloads": "Send larger payloads, or split the result into several transactions.",
    "too-many-open": "Find out who begins so many (`brh list`), then send the result under another transaction id.",
    "completion-timeout": "Mend storage or broker, then send the result under another transaction id.",
    "overdue": _RETRY,
    "blocks-missing": "Staged blocks have gone from storage: `brh send {id} --only-missing` sends them again.",
    "blocks-unclear": "Nothing to do: the next try names the blocks.",
    "storage-unavailable": f"Look at the storage account. {_RETRY}",
    "storage-refused": f"Check the permissions on the container. {_RETRY}",
    "notification-unconfirmed": f"Look at RabbitMQ and Kafka. {_RETRY}",
    "delivery-timeout": f"Look at storage and broker. {_RETRY}",
    "record-unreadable": "A newer release wrote it: upgrade bridges, trackers and deliveries.",
    "plan-unreadable": "A newer release asked for it: upgrade the deliveries.",
    "part-differs": "Somebody else wrote into the transaction's folder: `brh fsck` names the blob.",
    "bad-parameter": "Correct the parameter that is named.",
    "token-missing": "Send `Authorization: Bearer TOKEN`, by `brh` with BRH_API_READ_TOKEN or BRH_API_OPERATE_TOKEN.",
    "token-wrong": "Set BRH_API_READ_TOKEN or BRH_API_OPERATE_TOKEN to what the trackers have.",
    "session-ended": "Log in again at /login.",
    "operate-token-needed": "Send what the trackers have as BRH_API_OPERATE_TOKEN.",
    "csrf-token-wrong": "Load the page again, and ask from there.",
    "foreign-origin": "Call the API from a program, without an Origin header.",
    "unknown-transaction": "Look for the id in `brh list`, or among what was refused with "
    "`brh dlq list --transaction {id}`; `brh wait {id}` waits for its first message.",
    "not-found": "Check the address: /openapi.json has all calls.",
    "method-not-allowed": "Use one of the methods that the header `Allow` names.",
    "request-timeout": "Send the body at once, behind the headers.",
    "not-ready": "Ask again in a second: partitions move, or their tables are being read.",
    "internal-error": "Try again; the tracker's log tells what happened: please report it.",
    "too-many-requests": "Wait as long as `Retry-After` says, or raise BRH_API_RATE_PER_S of the trackers.",
    "too-many-streams": "Close a stream that nobody reads, or ask with `brh status` now and then.",
    "already-closed": "See it with `brh status {id}`; send the result under another transaction id if it is needed.",
    "nothing-to-retry": "See what is missing with `brh gaps {id}`, and send that.",
    "already-decided": "Follow its delivery with `brh wait {id}`, or try it at once with `brh retry {id}`.",
    "beyond-limit": "Extend it by less, or send what `brh gaps {id}` names.",
    "idempotency-key-reused": "Choose another `Idempotency-Key` (--key), or none.",
    "bad-type": "Set the AMQP property `type`: brh.header.v1 for `header.`, brh.payload.v1 for other routing keys.",
    "bad-transaction-id": "Set the AMQP property `correlation_id` to the transaction id, as the reason says it.",
    "bad-series-type": "Set the header `brh_series_type` to a name as the reason says it.",
    "bad-ordinal": "Set the header `brh_ordinal` to an AMQP integer from 1 to the total count.",
    "bad-total-count": "Set the header `brh_total_count` to an AMQP integer, the same in all payloads of the series.",
    "bad-header-body": "Correct in the header what the reason names; `brh send --check` shows one that is right.",
    "header-too-large": "Announce fewer series, or drop what nobody reads from the header.",
    "payload-too-large": "Cut the series into smaller payloads.",
    "digest-mismatch": "Compute `brh_sha256` of the very bytes of the body, as 64 hex digits, or leave it out.",
    "length-mismatch": "Set `brh_content_length` to the bytes of the body, or leave it out.",
}
"""`{id}` stands for the transaction's id."""

_BY_STATUS: Final[Mapping[int, str]] = {
    400: "Correct what is named.",
    401: "Set BRH_API_READ_TOKEN or BRH_API_OPERATE_TOKEN to what the trackers have.",
    403: "Set BRH_API_OPERATE_TOKEN to what the trackers have.",
    404: "Look at `brh list`, or wait for it with `brh wait {id}`.",
    409: "See where it stands with `brh status {id}`.",
    429: "Ask again in a second, or raise BRH_API_RATE_PER_S of the trackers.",
    503: "Ask again in a second: partitions move, or their tables are being read.",
}
"""Of an answer of the API whose code is not among them, as one of another release may be."""


def remedy(code: str, transaction_id: str = "TXN") -> str | None:
    """What helps; None for a code that is not known."""
    said = REMEDIES.get(code)
    return said.replace("{id}", transaction_id) if said else None


def remedy_of_answer(code: str, status: int, transaction_id: str = "TXN") -> str:
    """What helps against a problem that the API has answered with."""
    otherwise = _BY_STATUS.get(status, "Look at the log of the tracker.")
    return remedy(code, transaction_id) or otherwise.replace("{id}", transaction_id)


def helping(code: str | None, transaction_id: str) -> str:
    """What can be done about a result that cannot be had."""
    known = remedy(code, transaction_id) if code else None
    return known or "An outcome never changes: mend the cause, then send the result under another transaction id."
