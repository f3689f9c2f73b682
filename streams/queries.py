"""What the API is asked and what it answers, over rows of the transactions table. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import merge, nsmallest
from itertools import islice
from typing import Any, Final, TypeAlias

import msgspec

from bridge.contract.inbound import is_transaction_id, is_transaction_type
from bridge.quoting import quoted
from tables.transaction import State

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
BLOCKS_MISSING: Final = "blocks-missing"
"""The problem of a delivery that does not find what was staged."""

Row: TypeAlias = Mapping[str, Any]
"""A transaction as `tables.projection.view` shows it."""
Document: TypeAlias = dict[str, Any]

_ID_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NUMBER = re.compile(r"[0-9]{1,4}")
_CURSOR_VERSION: Final = "1:"


class BadParameter(Exception):
    """The caller asked for something that cannot be: correct the parameter that is named."""

    def __init__(self, name: str, found: object, expected: str) -> None:
        shown = "missing" if found is None else quoted(found)
        super().__init__(f"{name} is {shown}, expected {expected}")
        self.name = name


class Listing(msgspec.Struct, frozen=True):
    """Which transactions to list, in the order of their ids: an order that no change of a transaction moves."""

    state: str | None = None
    type: str | None = None
    prefix: str = ""
    """Only ids that begin like this."""
    limit: int = LIMIT_DEFAULT
    after: str = ""
    """Only ids greater than this one."""

    def wants(self, row: Row) -> bool:
        """Whether the filters let a row through."""
        return self.state in (None, row["state"]) and self.type in (None, row["transactionType"])


def parse_listing(query: Iterable[tuple[str, str]]) -> Listing:
    """The listing that a query string asks for; an empty value is none.

    Raises BadParameter, also for a parameter that there is not: a misspelled filter would list everything.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name not in _PARSERS:
            raise BadParameter(quoted(name)[1:-1], value, f"one of the parameters {', '.join(_PARSERS)}")
        if name in given:
            raise BadParameter(name, value, "to be given once")
        given[name] = value
    return Listing(**{name: _PARSERS[name](value) for name, value in given.items() if value})


def query_of(listing: Listing) -> dict[str, str]:
    """The query string that `parse_listing` reads as this listing."""
    given = {
        "state": listing.state,
        "type": listing.type,
        "prefix": listing.prefix or None,
        "limit": str(listing.limit),
    }
    given["after"] = cursor(listing.after) if listing.after else None
    return {name: value for name, value in given.items() if value is not None}


def parse_partitions(text: str) -> list[int]:
    """The partitions that one tracker asks another one about. Raises BadParameter."""
    numbers = text.split(",")
    if not all(map(_NUMBER.fullmatch, numbers)):
        raise BadParameter("partitions", text, "numbers with commas between them")
    return list(map(int, numbers))


def _state(text: str) -> str:
    if text not in list(State):
        raise BadParameter("state", text, f"one of {', '.join(State)}")
    return text


def _type(text: str) -> str:
    if not is_transaction_type(text):
        raise BadParameter("type", text, "a transaction type: up to 63 of A-Z a-z 0-9 _ - with a letter or digit first")
    return text


def _prefix(text: str) -> str:
    if not _ID_PREFIX.fullmatch(text):
        raise BadParameter("prefix", text, "how ids begin: up to 128 of A-Z a-z 0-9 . _ - with a letter or digit first")
    return text


def _limit(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= LIMIT_MAX:
        raise BadParameter("limit", text, f"a number from 1 to {LIMIT_MAX}")
    return int(text)


def _after(text: str) -> str:
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        decoded = ""
    found = decoded.removeprefix(_CURSOR_VERSION)
    # Decoders of base64 are lenient, so a cursor counts only when we would have written it like that.
    if not is_transaction_id(found) or cursor(found) != text:
        raise BadParameter("after", text, "the `next` of an earlier answer")
    return found


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "state": _state,
    "type": _type,
    "prefix": _prefix,
    "limit": _limit,
    "after": _after,
}


def cursor(transaction_id: str) -> str:
    """The opaque text that continues a list behind this transaction."""
    return base64.urlsafe_b64encode(f"{_CURSOR_VERSION}{transaction_id}".encode()).decode("ascii").rstrip("=")


def parse_id(text: str) -> str:
    """The transaction id in a path. Raises BadParameter."""
    if not is_transaction_id(text):
        expected = "a transaction id: 1 to 128 of A-Z a-z 0-9 . _ - with a letter or digit at both ends and no `..`"
        raise BadParameter("id", text, expected)
    return text


def smallest(best: Sequence[str], ids: Iterable[str], count: int, wanted: Callable[[str], bool]) -> list[str]:
    """The `count` smallest wanted ids among `best`, which were found before, and `ids`, in ascending order.

    `wanted` may be slow: it is not asked for an id that could not get in.
    """
    candidates = [each for each in ids if (len(best) < count or each < best[-1]) and wanted(each)]
    return nsmallest(count, [*best, *candidates])


def page(parts: Iterable[Sequence[Document]], limit: int) -> Document:
    """One page of summaries out of what each owner has of it: `limit` + 1 entries of each, in the order of ids."""
    found = list(islice(merge(*parts, key=lambda entry: entry["transactionId"]), limit + 1))
    more = len(found) > limit
    return {"transactions": found[:limit], "next": cursor(found[limit - 1]["transactionId"]) if more else None}


def summary(row: Row) -> Document:
    """An entry of the list: who, where it stands, how far it is; `totalCount` is null until all of it is known."""
    series = row["series"]
    totals = [each["totalCount"] for each in series]
    known = row["header"] is not None and None not in totals
    return {
        "transactionId": row["transactionId"],
        "transactionType": row["transactionType"],
        "state": row["state"],
        "created": row["timestamps"]["created"],
        "lastUpdated": row["timestamps"]["lastUpdated"],
        "seriesCount": len(series),
        "receivedCount": sum(each["receivedCount"] for each in series),
        "totalCount": sum(totals) if known else None,
        "bytes": sum(each["bytes"] for each in series),
        "problemCode": row["problem"]["code"] if row["problem"] else None,
    }


def gaps(row: Row) -> Document:
    """The missing ordinals of every series whose total is known (none: an empty list), and the series without one.

    `header` says whether it has come, `rangesTruncated` that there are more ranges than these, missing or lost. `lost`
    are ordinals that had arrived and whose staged blocks have gone, which is found out when the result is delivered:
    they have to be sent again as well.
    """
    lost = _lost(row)
    known = {each["seriesType"]: each for each in row["series"] if each["totalCount"] is not None}
    seen = [each["seriesType"] for each in row["series"]]
    announced = [each["type"] for each in row["header"]["series"]] if row["header"] else []
    return {
        "transactionId": row["transactionId"],
        "state": row["state"],
        "header": row["header"] is not None,
        "series": {name: each["missing"] for name, each in known.items()},
        "unknownTotal": [name for name in dict.fromkeys([*announced, *seen]) if name not in known],
        "rangesTruncated": any(_is_cut(each) for each in known.values()) or lost.get("missingTruncated", False),
        "lost": {name: ranges for name, ranges in (lost.get("missing") or {}).items() if ranges},
    }


def _lost(row: Row) -> Row:
    """The last problem of a delivery that did not find what was staged; nothing once it does not matter any more."""
    if row["state"] != State.SENDING_COMPLETION:
        return {}
    told = [each for each in row.get("problems", ()) if each["code"] == BLOCKS_MISSING]
    return told[-1] if told else {}


def _is_cut(series: Row) -> bool:
    # The row's own flag is also set when only the received ranges were cut.
    listed = sum(last - first + 1 for first, last in series["missing"])
    return bool(listed + series["receivedCount"] < series["totalCount"])


def problem(status: int, code: str, title: str, detail: str, **members: Any) -> Document:
    """An error of the API as RFC 9457 wants it; what helps is added where it is answered (`streams.answers`)."""
    return {
        "type": f"urn:brh:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }
