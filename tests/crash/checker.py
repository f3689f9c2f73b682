"""What an installation has done, judged from outside: by what was sent, what storage holds and what was told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, Final

from bridge.checksums import crc64, hex16
from bridge.layout import HEADER_BLOB, ORPHANS_BLOB, OUTCOME_BLOB, TOLD_BLOB, PartName
from tests.crash.outside import Outside, Told, until
from tests.crash.sent import Ledger, Sent
from tests.crash.site import Site
from tests.support.deliveries import below

ENDS: Final = tuple(f"brh.transaction.{kind}.v1" for kind in ("completed", "failed", "abandoned"))
REJECTED: Final = "brh.message.rejected.v1"
ROW_S: Final = 60.0


async def violations(site: Site, ledger: Ledger) -> list[str]:
    """Everything that is wrong; each sentence names its transaction."""
    found: list[str] = []
    for sent in ledger.sent:
        found += [f"{sent.transaction}: {each}" for each in await _of_one(site, sent)]
    for transaction in ledger.gone:
        if left := [each.name for each in await below(site.blobs, transaction)]:
            found.append(f"{transaction}: is over, and {left} is left")
        if site.outside.told[transaction]:
            found.append(f"{transaction}: was told when it was over")
    return found + list(_of_all(site.outside, ledger))


def _of_all(outside: Outside, ledger: Ledger) -> Iterator[str]:
    dead = set(outside.dead)
    if missing := set(ledger.refused) - dead:
        yield f"{len(missing)} refused messages are not among the dead letters"
    ids: dict[str, set[str | None]] = {message: set() for message in ledger.refused}
    for told in (told for copies in outside.told.values() for told in copies) if ids else ():
        event = told.event
        if event["type"] == REJECTED and event["data"]["messageId"] in ids:
            ids[event["data"]["messageId"]].add(told.message_id)
    if strange := {message: found for message, found in ids.items() if len(found) != 1}:
        yield f"rejections are told under these ids: {strange}"
    if missing := set(ledger.unreadable) - set(outside.parked):
        yield f"{len(missing)} unreadable records are not parked"


async def _of_one(site: Site, sent: Sent) -> list[str]:
    content = await site.blobs.read(f"{sent.transaction}/{OUTCOME_BLOB}")
    marker = await site.blobs.read(f"{sent.transaction}/{TOLD_BLOB}")
    if content is None or marker is None:
        return ["has no outcome" if content is None else "has no marker that it was told"]
    outcome = json.loads(content.body)
    found = [*_verdict(sent, outcome), *_told(site.outside, sent, outcome, content.etag, json.loads(marker.body))]
    found += await _bytes(site, sent, outcome)
    found += await _container(site, sent, outcome)
    if site.kind == "plain":
        found += await _row(site, sent, outcome)
    return found


def _verdict(sent: Sent, outcome: dict[str, Any]) -> Iterator[str]:
    code = outcome["problem"]["code"] if outcome["problem"] else None
    if (outcome["outcome"], code) != (sent.outcome, sent.code):
        yield f"is {outcome['outcome']} ({code}), not {sent.outcome} ({sent.code})"
    if outcome["partial"] != (sent.received is not None):
        yield f"is {'' if outcome['partial'] else 'not '}partial"


def _told(outside: Outside, sent: Sent, outcome: dict[str, Any], etag: str, marker: dict[str, Any]) -> Iterator[str]:
    copies = _ends(outside.told[sent.transaction]) | _ends(outside.replies[sent.transaction])
    bodies = {each.body for each in copies} | set(outside.outcomes[sent.transaction])
    ids = (
        {each.message_id for each in copies} | {marker["notificationId"]} | {json.loads(each)["id"] for each in bodies}
    )
    if (len(bodies), len(ids)) != (1, 1):
        yield f"was told in {len(bodies)} ways, with the ids {ids}"
    for body in bodies:
        if json.loads(body)["data"] != outcome | {"outcomeEtag": etag}:
            yield "what was told is not what is written"
    if not _ends(outside.told[sent.transaction]):
        yield "was not told to the outbound exchange"
    if not outside.outcomes[sent.transaction]:
        yield "is not on the topic of outcomes"
    if sent.reply and not _ends(outside.replies[sent.transaction]):
        yield "was not told to the queue in reply_to"
    orphans = set(outside.orphans[sent.transaction])
    if len(orphans) != int(sent.orphans):
        yield f"has {len(orphans)} different records of orphans"
    accepted = {each for each in outside.told[sent.transaction] if each.event["type"].endswith(".accepted.v1")}
    if len({each.message_id for each in accepted}) != len(accepted):
        yield "one notice has two bodies"


def _ends(copies: list[Told]) -> set[Told]:
    return {each for each in copies if each.event["type"] in ENDS}


async def _bytes(site: Site, sent: Sent, outcome: dict[str, Any]) -> list[str]:
    """Every series is what was sent, in order, byte for byte, in one of the ways that there are."""
    found = []
    if sent.outcome != "Completed":
        return [] if not any(series["parts"] for series in outcome["series"]) else ["lists parts"]
    if [series["seriesType"] for series in outcome["series"]] != list(sent.series):
        return ["lists other series than its header"]
    for series in outcome["series"]:
        name = series["seriesType"]
        stored = b""
        for part in series["parts"]:
            content = await site.blobs.read(part["uri"].partition(f"/{site.world.name}/")[2])
            body = content.body if content is not None and content.etag == part["etag"] else None
            if body is None or (len(body), hex16(crc64([body]))) != (part["bytes"], part["crc64"]):
                found.append(f"{part['uri']} is not what the outcome says")
            stored += body or b""
        if stored not in _possible(sent, name):
            found.append(f"series {name} has other bytes than were sent")
        if len(stored) != series["bytes"]:
            found.append(f"series {name} has {len(stored)} bytes, not {series['bytes']}")
    return found


def _possible(sent: Sent, series: str) -> Iterator[bytes]:
    ordinals = range(1, len(sent.series[series]) + 1) if sent.received is None else sent.received.get(series, [])
    contents = []
    for ordinal in ordinals:
        other = sent.either.get((series, ordinal))
        contents.append([sent.series[series][ordinal - 1], *([other] if other is not None else [])])
    return (b"".join(each) for each in itertools.product(*contents))


async def _container(site: Site, sent: Sent, outcome: dict[str, Any]) -> list[str]:
    """Nothing is committed but the records and what the outcome lists.

    What is staged behind the outcome, by a message that came again, is the sweep's: see `garbage`.
    """
    names = {each.name for each in await below(site.blobs, sent.transaction) if not each.bare}
    listed = {part["uri"].partition(f"/{site.world.name}/")[2] for each in outcome["series"] for part in each["parts"]}
    records = {f"{sent.transaction}/{each}" for each in (OUTCOME_BLOB, TOLD_BLOB)}
    records |= {f"{sent.transaction}/{HEADER_BLOB}"} if sent.header else set()
    # A record of orphans that no outcome names may be left of a delivery that was not the first to decide.
    allowed = records | listed | {f"{sent.transaction}/{ORPHANS_BLOB}"}
    return [f"holds {sorted(names ^ (records | listed))}"] if not records | listed <= names <= allowed else []


async def garbage(site: Site, transactions: list[str]) -> list[str]:
    """What is staged and belongs to no outcome."""
    return [
        each.name
        for transaction in transactions
        for each in await below(site.blobs, transaction)
        if each.bare and PartName.parse(each.name)
    ]


async def _row(site: Site, sent: Sent, outcome: dict[str, Any]) -> list[str]:
    async def closed() -> bool:
        row = await site.row(sent.transaction)
        return bool(row and row["state"] == outcome["outcome"])

    try:
        await until(closed, ROW_S, "")
    except AssertionError:
        return [f"the API says {await site.row(sent.transaction)}"]
    return []
