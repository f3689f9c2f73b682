"""What a bridge would do wrong."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bridge import gathering, header_record, headers
from bridge.reached import Reckoning
from tests.sim.plants.put import Put
from tests.sim.storage import Storage


def ack_early(put: Put) -> None:
    """Small payloads are acknowledged before they are staged and published."""
    settle, batch = gathering._settle, gathering.Gathering._batch

    async def early(self: Any, transaction: str, runs: Any) -> None:
        settle([small for run in runs for small in run])
        await batch(self, transaction, runs)

    put(gathering, "_settle", lambda _payloads: None)
    put(gathering.Gathering, "_batch", early)


def boastful_watermark(put: Put) -> None:
    """A bridge claims the moment at which it has asked its queues, whatever they have answered."""
    put(Reckoning, "look", lambda _self, moment, _found: moment)


def first_header_by_kafka(put: Put) -> None:
    """A header that lost the race for `_header.json` is published as if it were the first."""
    keep = header_record.keep_header

    async def own(blobs: Any, message: Any, received: Any) -> Any:
        fact = await keep(blobs, message, received)
        return replace(fact, header=message.header, digest=message.digest, conflicting_digest=None)

    put(headers, "keep_header", own)


def same_block_id(put: Put) -> None:
    """A small payload's block is named by its place, so other bytes for an ordinal take the place of the first ones."""
    put(Storage, "by_place", True)
