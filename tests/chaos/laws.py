"""What has to hold for a transaction, whatever happens: judged by the ledger and what was seen from outside. Pure.

What is not so yet is *pending*; when everything has become quiet, what is still pending is a violation too. The numbers
of the laws are those of the design: I1 complete means whole, I2 one outcome, I4 every confirmed message is in exactly
one class, I5 told at least once with one identity, I7 nothing comes back, I9 nobody is late for our own outage, I10
what is complete completes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from tests.chaos.known import Content, Place, Sent

AWAITING_DEFAULT_S: Final = 24 * 3600.0
CONFLICTS: Final = {"conflicting-payload", "conflicting-total-count", "conflicting-header"}


class Violation(NamedTuple):
    """A law that does not hold."""

    law: str
    transaction: str
    detail: str


class Notice(NamedTuple):
    """One copy of a CloudEvent about an outcome."""

    via: str
    """amqp, reply or kafka."""
    id: str
    body: str


@dataclass
class Evidence:
    """What was seen of one transaction."""

    outcome: dict[str, Any] | None = None
    outcome_etag: str = ""
    told: dict[str, Any] | None = None
    notices: set[Notice] = field(default_factory=set)
    committed: dict[Place, Content] | None = None
    """What the bytes are, of a Completed one; None: not read yet."""
    orphans: set[str] = field(default_factory=set)
    """Bodies of orphan records."""
    dead: dict[int, set[str]] = field(default_factory=dict)
    """Refused messages that were dead-lettered, with the digests of their bodies."""
    refused: dict[int, set[tuple[str, str]]] = field(default_factory=dict)
    """Ids and codes of the announcements that a message was refused."""
    state: str | None = None
    """What the API says."""


@dataclass
class Judgement:
    """Of one transaction."""

    violations: list[Violation] = field(default_factory=list)
    pending: list[Violation] = field(default_factory=list)
    """What has to become so."""
    classes: Counter[str] = field(default_factory=Counter)
    """Confirmed messages by what became of them."""


def judge(sent: Sent, seen: Evidence, header_limit_s: float) -> Judgement:
    """All laws for one transaction. `header_limit_s`: how long a header is waited for."""
    judgement = Judgement()
    name = sent.transaction
    judgement.pending += [Violation("I4", name, each) for each in _unrefused(sent, seen)]
    judgement.classes["invalid"] = sum(m in sent.confirmed for m in sent.bad)
    if seen.outcome is None:
        if any(m in sent.confirmed for m in sent.good):
            whole = "all of it is confirmed" if sent.complete_at() else "something of it is confirmed"
            judgement.pending.append(Violation("I10", name, f"there is no outcome, and {whole}"))
        if seen.notices:
            judgement.pending.append(Violation("I6", name, "told, and no outcome was read"))
        return judgement
    judgement.violations += [Violation(law, name, said) for law, said in _wrong_verdict(sent, seen, header_limit_s)]
    judgement.violations += [Violation(law, name, said) for law, said in _told_wrongly(sent, seen)]
    judgement.pending += [Violation("I5", name, each) for each in _untold(sent, seen)]
    if seen.state != seen.outcome["outcome"]:
        judgement.pending.append(Violation("I2", name, f"the API says {seen.state}, the outcome says otherwise"))
    if seen.outcome["outcome"] == "Completed" and seen.committed is None:
        judgement.pending.append(Violation("I1", name, "the bytes are not read yet"))
    else:
        _classify(sent, seen, judgement, header_limit_s)
    return judgement


# Refused messages


def _unrefused(sent: Sent, seen: Evidence) -> Iterator[str]:
    for number, record in sent.bad.items():
        if number not in sent.confirmed:
            continue
        if seen.dead.get(number) != {record["sha"]}:
            yield f"message {number} ({record['code']}) was not dead-lettered as it was sent"
        announced = seen.refused.get(number, set())
        if {code for _, code in announced} != {record["code"]} or len(announced) != 1:
            yield f"message {number} ({record['code']}) was announced as {sorted(announced)}"


# The outcome


def _wrong_verdict(sent: Sent, seen: Evidence, header_limit_s: float) -> Iterator[tuple[str, str]]:
    outcome = seen.outcome
    assert outcome is not None
    match outcome["outcome"], (outcome["problem"] or {}).get("code"):
        case "Completed", None:
            yield from _wrong_result(sent, outcome)
        case "Failed", code:
            if code not in CONFLICTS or not sent.contradicts_itself:
                yield "I2", f"Failed ({code}), and nothing that was sent contradicts itself"
        case "Abandoned", "no-header":
            deadline, at = _created(outcome) + header_limit_s, sent.header_at()
            if at is not None and at < deadline:
                yield "I9", f"Abandoned (no-header), and the header was there {deadline - at:.1f} s before the limit"
        case "Abandoned", "timeout":
            yield from _not_late(sent, outcome)
        case kind, code:
            yield "I2", f"{kind} ({code}) is nothing that these producers can bring about"


def _wrong_result(sent: Sent, outcome: dict[str, Any]) -> Iterator[tuple[str, str]]:
    said = [[each["type"] for each in json.loads(text)["series"]] for text in sent.headers]
    if [each["seriesType"] for each in outcome["series"]] not in said:
        yield "I1", "the series are not those of the header"
    if outcome["partial"]:
        yield from _not_late(sent, outcome)
        if (sent.header or {}).get("onTimeout") != "partial":
            yield "I1", "partial, and no header asked for that"
        return
    for each in outcome["series"]:
        totals = sent.total_of(each["seriesType"])
        if each["totalCount"] not in totals:
            yield "I1", f"series {each['seriesType']} has {each['totalCount']} payloads, not {sorted(totals)}"


def _created(outcome: dict[str, Any]) -> float:
    return datetime.fromisoformat(outcome["timestamps"]["created"]).timestamp()


def _not_late(sent: Sent, outcome: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Given up: only what the broker had after the limit may be missing."""
    text = (sent.header or {}).get("timeouts", {}).get("awaiting", "")
    limit_s = float(text.removeprefix("PT").removesuffix("S")) if text else AWAITING_DEFAULT_S
    created, decided = _created(outcome), datetime.fromisoformat(outcome["timestamps"]["completed"]).timestamp()
    if decided - created < limit_s:
        yield "I9", f"given up after {decided - created:.1f} s, the limit is {limit_s:g} s"
    complete_at = sent.complete_at()
    if complete_at is not None and complete_at < created + limit_s:
        yield "I9", f"given up, and everything was there {created + limit_s - complete_at:.1f} s before the limit"
    for series in outcome["series"] if outcome["partial"] else ():
        received = {n for first, last in series["received"] for n in range(first, last + 1)}
        for name, ordinal in sent.payloads:
            at = sent.place_at((name, ordinal))
            if name == series["seriesType"] and ordinal not in received and at and at < created + limit_s:
                yield "I9", f"series {name} lacks {ordinal}, which was there before the limit"


# Telling


def _told_wrongly(sent: Sent, seen: Evidence) -> Iterator[tuple[str, str]]:
    if len({(each.id, each.body) for each in seen.notices}) > 1:
        yield "I5", f"notices with different ids or bodies: {sorted(each.id for each in seen.notices)}"
    for each in seen.notices:
        data = dict(json.loads(each.body)["data"])
        etag = data.pop("outcomeEtag")
        if data != seen.outcome or etag != seen.outcome_etag:
            yield "I2", f"the notice by {each.via} says something else than the outcome"
    if seen.told is not None and {each.id for each in seen.notices} not in ({seen.told["notificationId"]}, set()):
        yield "I5", "the marker names another notification"


def _untold(sent: Sent, seen: Evidence) -> Iterator[str]:
    by = {each.via for each in seen.notices}
    wanted = {"amqp", "kafka"}
    headed = seen.outcome is not None and seen.outcome["timestamps"]["headerReceived"] is not None
    if sent.reply_to and headed:
        wanted.add("reply")
    for via in sorted(wanted - by):
        yield f"not told by {via}"
    if seen.told is None:
        yield "not marked as told"


# What became of each message


def _classify(sent: Sent, seen: Evidence, judgement: Judgement, header_limit_s: float) -> None:
    for place, by_content in sent.payloads.items():
        for content, numbers in by_content.items():
            if confirmed := sum(m in sent.confirmed for m in numbers):
                classes, lost = _classes(sent, seen, place, content, confirmed, header_limit_s)
                judgement.classes.update(classes)
                judgement.pending += [Violation("I4", sent.transaction, each) for each in lost]
    for first, numbers in enumerate(sent.headers.values()):
        judgement.classes["header of another" if first else "header"] += sum(m in sent.confirmed for m in numbers)


def _classes(
    sent: Sent, seen: Evidence, place: Place, content: Content, confirmed: int, header_limit_s: float
) -> tuple[dict[str, int], list[str]]:
    """What became of the messages with one content, and what is wrong with that."""
    outcome = seen.outcome
    assert outcome is not None
    match outcome["outcome"], (outcome["problem"] or {}).get("code"):
        case "Failed", _:
            return {"in a failed transaction": confirmed}, []
        case "Abandoned", "no-header":
            in_time = (sent.place_at(place) or 0) < _created(outcome) + header_limit_s
            lost = in_time and not any(_names(record, place) for record in seen.orphans)
            return {"orphan": confirmed}, [f"{place} is in no orphan record"] if lost else []
        case "Abandoned", _:
            return {"in an abandoned transaction": confirmed}, []
    there = (seen.committed or {}).get(place)
    if there is None:
        return {"late": confirmed}, [] if outcome["partial"] else [f"{place} is nowhere"]
    totals = {each["seriesType"]: each["totalCount"] for each in outcome["series"]}
    if (there.sha, there.size, totals.get(place[0])) != (content.sha, content.size, content.total):
        return {"conflict": confirmed}, []
    return {"accepted": 1, "duplicate or late": confirmed - 1}, []


def _names(record: str, place: Place) -> bool:
    series, ordinal = place
    for each in json.loads(record)["data"]["series"]:
        if each["seriesType"] == series:
            return any(first <= ordinal <= last for first, last in each["received"])
    return False
