"""What each code means, and what helps where `streams.remedies` does not say it."""

from __future__ import annotations

from typing import Final, NamedTuple

from bridge.contract.inbound import (
    HEADER_MAX_BYTES,
    PAYLOAD_MAX_BYTES,
    SERIES_MAX,
    TOTAL_COUNT_MAX,
    RejectionCode,
)
from bridge.contract.outbound import OutcomeCode
from bridge.unreadable import ReadCode
from tables.limits import PAYLOADS_MAX


class Said(NamedTuple):
    """Of one code."""

    means: str
    helps: str = ""
    """Empty: what `streams.remedies` says, as everywhere else."""


REJECTIONS_HEAD: Final = (
    "In `brh.message.rejected.v1`, and with the message in queue `brh.rejected`. The first of these rules, in this order,"
    " that a message breaks is its code. An open transaction that the message names shows it"
    " among its problems; nothing else changes by it."
)
REJECTIONS: Final = {
    RejectionCode.BAD_TYPE: Said("`type` is not `brh.header.v1` or `brh.payload.v1`, or it came to the other queue."),
    RejectionCode.BAD_TRANSACTION_ID: Said("`correlation_id` is missing or can be no transaction id."),
    RejectionCode.BAD_SERIES_TYPE: Said("`brh_series_type` is missing or can be no series type."),
    RejectionCode.BAD_ORDINAL: Said("`brh_ordinal` is no AMQP integer from 1 to the total count."),
    RejectionCode.BAD_TOTAL_COUNT: Said(f"`brh_total_count` is no AMQP integer from 1 to {TOTAL_COUNT_MAX}."),
    RejectionCode.BAD_HEADER_BODY: Said(
        "A header's body, content type, encoding or `reply_to` is not as `docs/schemas/header.json` and the contract say."
    ),
    RejectionCode.HEADER_TOO_LARGE: Said(f"A header's body has more than {HEADER_MAX_BYTES} bytes."),
    RejectionCode.PAYLOAD_TOO_LARGE: Said(
        f"A payload has more than `BRH_PAYLOAD_MAX_BYTES`, which is at most {PAYLOAD_MAX_BYTES}."
    ),
    RejectionCode.DIGEST_MISMATCH: Said("The body has another SHA-256 than `brh_sha256`."),
    RejectionCode.LENGTH_MISMATCH: Said("The body has another length than `brh_content_length`."),
    RejectionCode.TOO_MANY_SERIES: Said(f"A header lists more than {SERIES_MAX} series."),
    RejectionCode.RECORD_UNREADABLE: Said("The header that the transaction was accepted with is of a newer release."),
}

OUTCOMES_HEAD: Final = (
    "The `problem` of an outcome that is Failed or Abandoned, in its document, its event, the API and the pages."
)
OUTCOMES: Final = {
    OutcomeCode.CONFLICTING_PAYLOAD: Said("Failed: two payloads of one ordinal have other bytes."),
    OutcomeCode.CONFLICTING_TOTAL_COUNT: Said(
        "Failed: payloads of a series, or payload and header, say other total counts."
    ),
    OutcomeCode.CONFLICTING_HEADER: Said("Failed: two headers are other JSON values."),
    OutcomeCode.UNKNOWN_SERIES: Said("Failed: payloads of a series that the header does not list."),
    OutcomeCode.EARLY_LIMIT: Said("Failed: more payloads or bytes came before the header than its limits allow."),
    OutcomeCode.TOO_MANY_SERIES: Said(f"Failed: payloads of more than {SERIES_MAX} series came before the header."),
    OutcomeCode.TOO_MANY_PAYLOADS: Said(
        f"Failed: the total counts of its series are more than {PAYLOADS_MAX} together."
    ),
    OutcomeCode.TOO_MANY_OPEN: Said("Failed: it began when `BRH_OPEN_MAX` transactions of its partition were open."),
    OutcomeCode.COMPLETION_TIMEOUT: Said(
        "Failed: outcome and notification could not be delivered within `completing_max`."
    ),
    OutcomeCode.NO_HEADER: Said("Abandoned: no header came within `header`."),
    OutcomeCode.TIMEOUT: Said("Abandoned: not everything came within `awaiting`; `missing` says what."),
    OutcomeCode.CANCELLED: Said("Abandoned: somebody cancelled it."),
}

UNDER_WAY_HEAD: Final = "Problems of a transaction that is open: in the events `gap` and `overdue`, in its row's `problems` and in `brh explain`."
UNDER_WAY: Final = {
    "gap": Said("Nothing new came for `idle`, and something is missing."),
    "overdue": Said("A result has not been delivered within `completing`."),
    "storage-unavailable": Said("Blob storage did not answer, or asks to wait."),
    "storage-refused": Said("Blob storage refused a request."),
    "notification-unconfirmed": Said("RabbitMQ did not confirm a notification."),
    "delivery-timeout": Said("One attempt took longer than `BRH_DELIVERY_ATTEMPT_S`."),
    "blocks-missing": Said("Accepted payloads are not in storage any more."),
    "blocks-unclear": Said("More is staged than a plan can tell apart."),
    "part-differs": Said("A part is committed with other bytes than were accepted."),
    "plan-unreadable": Said("A delivery was asked for in a way that it cannot read."),
}

UNREADABLE_HEAD: Final = (
    "A record on Kafka, in a table or in storage. Records are parked on topic `brh.parked` with where they came from."
)
UNREADABLE: Final = {
    ReadCode.NEWER_VERSION: Said("A newer release has written it.", "Run that release."),
    ReadCode.UNKNOWN_TYPE: Said("A newer release has written it, or nobody of ours.", "Run that release."),
    ReadCode.UNREADABLE: Said("It is not what any release of ours writes.", "Find out who writes there."),
}

API_HEAD: Final = "Members `code` of `application/problem+json`; its member `remedy` is what helps."
API: Final = {
    "bad-parameter": Said("400: a parameter or member is wrong; `parameter` names it."),
    "token-missing": Said("401: there are tokens, and the request has none."),
    "token-wrong": Said("401: the token is none of ours."),
    "session-ended": Said("401: the page's session is over."),
    "operate-token-needed": Said("403: commands take the operate token."),
    "csrf-token-wrong": Said("403: the page is not one of this session."),
    "foreign-origin": Said("403: a page of another site asks."),
    "unknown-transaction": Said("404: nothing has been heard of it."),
    "already-closed": Said("409: it has its outcome, which never changes."),
    "already-decided": Said("409: it waits for no message any more."),
    "nothing-to-retry": Said("409: it is not being delivered yet."),
    "beyond-limit": Said("409: nobody may wait for so long; `latest` is the latest possible."),
    "idempotency-key-reused": Said("409: the key belongs to another command."),
    "not-found": Said("404: there is nothing at the address."),
    "method-not-allowed": Said("405: the address has no such method."),
    "request-timeout": Said("408: the body did not come in time."),
    "too-many-requests": Said("429: one address asks more than BRH_API_RATE_PER_S."),
    "too-many-streams": Said("503: BRH_API_STREAMS_MAX clients follow transactions here."),
    "not-ready": Said("503: tables are being recovered, or partitions move."),
    "internal-error": Said("500: a mistake of ours."),
}

COMMANDS_HEAD: Final = (
    "On stderr, in parentheses behind the sentence. Exit codes: 0 ok, 1 failed or refused, 2 usage, 3 not found, 4 not ready,"
    " unreachable or timed out, 5 data wrong. Codes of the API and of outcomes are passed on."
)
COMMANDS: Final = {
    "amqp-lost": Said("The connection to RabbitMQ was lost.", "Run the same command again."),
    "amqp-refused": Said("RabbitMQ refused what was asked.", "It says why."),
    "amqp-still": Said("RabbitMQ confirms nothing.", "Look for an alarm of memory or disk, then run it again."),
    "amqp-unreachable": Said("RabbitMQ cannot be reached.", "Check that it runs and that BRH_AMQP_URL is right."),
    "api-unreachable": Said("No tracker answers.", "Check that one runs and that BRH_API_URL is right."),
    "bad-file": Said("A series can be no file in the folder.", "Choose another --out folder."),
    "bad-settings": Said("Variables are wrong; all are named.", "Correct them: see [settings](settings.md)."),
    "blobs-refused": Said("Blob storage refused a request.", "Correct the BRH_BLOB_ variables."),
    "blobs-unavailable": Said("Blob storage did not answer.", "Run the same command again."),
    "busy": Said("Another command writes to the same files.", "Wait for it, or choose another --out folder."),
    "bytes-differ": Said("`brh demo` found other bytes than it sent.", "Please report this."),
    "contract": Said("What was to be sent breaks the contract; nothing was sent.", "The sentence says what to change."),
    "demo-failed": Said("The demo's transaction did not complete.", "Its log is named."),
    "file": Said("A file cannot be written.", "Make room or choose another --out folder."),
    "gave-up": Said("A process of `brh run` ended too often.", "Mend what its output names, then run again."),
    "history-cut": Said("The first events of a transaction are not kept any more.", "`brh explain TXN`."),
    "in-hand": Said("Messages of the queue are with somebody else just now.", "Ask again later."),
    "interrupted": Said("Somebody pressed Ctrl-C.", "Run the same command again: it goes on from what is there."),
    "kafka-unavailable": Said("Kafka cannot be reached.", "Check that it runs and that BRH_KAFKA_BOOTSTRAP is right."),
    "left": Said("Some of the chosen messages stay in their queue.", "The sentence says which, and why."),
    "mismatch": Said("What was fetched differs from the outcome.", "Fetch again; if it stays, blobs were changed."),
    "no-events": Said("The events topic has nothing of the transaction.", "Leave --until out to see its offsets."),
    "no-file": Said("A file cannot be read.", "Name one that can."),
    "no-message": Said("The queue has no such message.", "See `brh dlq list`."),
    "no-offset": Said("The partition does not have that offset.", "Leave --until out to see the offsets."),
    "no-outcome": Said("The transaction is still open.", "`brh wait TXN`."),
    "no-port": Said("No port is free on this machine.", "End what occupies them."),
    "no-queue": Said("RabbitMQ has no such queue.", "Run `brh setup`."),
    "no-shell": Said("Commands cannot be completed for that shell.", "Take bash, zsh or fish."),
    "not-installed": Said("The installation lacks a command.", "Install big-result-handler anew."),
    "not-taken": Said("RabbitMQ did not take a message.", "Run `brh setup`, then the same command again."),
    "other-chunks": Said(
        "File and chunk size make another number of payloads than the series has.",
        "Use the file and the --chunk-size with which it was begun.",
    ),
    "record-unreadable": Said("A record is of another release.", "Use the release that wrote it."),
    "setup-refused": Said("Something is there with other properties.", "Remove it, or choose other names."),
    "source": Said("The source cannot be read.", "Run the same command again when it can."),
    "source-changed": Said("A file became shorter while it was sent.", "Send a file that nobody writes to."),
    "stack": Said("The demo's services could not be started.", "See `brh stack status`."),
    "timeout": Said("The time of `brh wait` is over.", "`brh status TXN` says what it waits for."),
    "unknown": Said("An outcome names no reason.", "Look at the outcome's document."),
    "unlisted-series": Said(
        "The header has not come, and the one to be sent would not list all series.",
        "Name every series of the transaction, each with its file.",
    ),
    "usage": Said("The command cannot be understood.", "`brh COMMAND --help`; a near name is suggested."),
    "unreachable": Said("A system did not do what `brh setup` asked.", "The variable that leads to it is named."),
}

STACK_HEAD: Final = "Of the services that `brh stack` starts on this machine."
STACK: Final = {
    "azurite-fetch": Said("npm could not fetch Azurite.", "Check the network, then try again."),
    "kafka-fetch": Said("Maven could not fetch Kafka, or fetched another one.", "Check the network, then try again."),
    "kafka-format": Said("Kafka could not prepare its folder.", "`brh stack down --wipe`, then `brh stack up`."),
    "missing-tool": Said("A program is not installed.", "Run `make setup`, or install it yourself."),
    "no-stack": Said("There is no stack in the folder.", "`brh stack up`."),
    "port-taken": Said("A port of the stack is taken.", "End that process, or `brh stack down --wipe` for new ports."),
    "service-ended": Said("A service ended while it started.", "Its log is named."),
    "service-not-ready": Said("A service did not answer in time.", "Its log is named."),
    "stack-busy": Said("Another command works in the folder.", "Wait for it or end it, then try again."),
    "stack-state": Said("The folder's state cannot be read.", "`brh stack down --wipe`, then `brh stack up`."),
}

FINDINGS_HEAD: Final = (
    "What storage and trackers tell differently. `--rebuild` mends what can be mended by publishing again."
)

EXITS_HEAD: Final = "A supervisor starts the process again: nothing is lost by its end."
EXITS: Final = {
    "70": Said("An agent, a delivery or the sweep failed: an error of ours.", "Its log has it: please report it."),
    "71": Said("A record could not be sent, or Kafka did not acknowledge it.", "Look at Kafka."),
    "75": Said("The group has accepted no heartbeat for most of a session.", "Look at the network and at Kafka."),
    "76": Said("The process stood still for longer than half a session.", "Look for a machine that is too busy."),
    "77": Said(
        "A topic has another number of partitions than `BRH_PARTITIONS` says; in production, or something else does not suit.",
        "Its last line names each thing that is wrong, and what helps. The number of partitions is fixed for life.",
    ),
    "78": Said("No progress for `BRH_STALL_MAX_S`, although something waits.", "Its last line says what waits."),
}
