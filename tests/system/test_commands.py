"""People act on transactions of a real installation, and see what came of it."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from click.testing import CliRunner, Result

from streams.cli import brh
from streams.cli.errors import EXIT_NOT_READY
from tests.support.deliveries import below
from tests.support.outside import Chunks, assert_result, listening, publish_header, publish_payloads
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def txn() -> str:
    return f"T-{uuid4().hex[:12]}"


async def run(world: World, *arguments: str) -> Result:
    """The command, again while partitions move between the trackers, which is when nobody can answer."""

    def probe() -> Result | None:
        result = CliRunner(env=world.env).invoke(brh, [*arguments])
        return None if result.exit_code == EXIT_NOT_READY else result

    return await asyncio.to_thread(until, probe, 60, f"brh {' '.join(arguments)} is answered; see {world.log}")


async def post(session: aiohttp.ClientSession, url: str, by: str, **headers: str) -> int:
    async with asyncio.timeout(60):
        while True:
            async with session.post(url, json={"by": by}, headers=headers) as answer:
                if answer.status != 503:
                    return answer.status
            await asyncio.sleep(0.05)


async def begin(world: World, txn: str) -> dict[str, Any]:
    """A transaction that lacks one payload of two."""
    await publish_header(world, txn, {"series": [{"type": "s"}]})
    await publish_payloads(world, txn, {"s": Chunks(txn, [100, 200])}, [1])
    return await shown(world, txn, lambda row: row["header"] and row["series"][0]["receivedCount"] == 1)


async def shown(world: World, txn: str, wanted: Any) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        row = world.transaction(txn)
        return row if row and wanted(row) else None

    return await asyncio.to_thread(until, probe, 30, f"{txn} is as expected; it is {world.transaction(txn)}")


async def test_a_cancelled_transaction_is_abandoned_told_and_removed(world: World, txn: str) -> None:
    async with listening(world, "transaction.abandoned.#") as heard:
        await begin(world, txn)
        result = await run(world, "cancel", txn, "--json")
        assert (result.exit_code, json.loads(result.stdout)["action"]) == (0, "cancel"), result.stderr
        (message,) = await heard.wait(txn)
        problem = json.loads(message.body)["data"]["problem"]
        assert (problem["code"], problem["missing"]) == ("cancelled", {"s": [[2, 2]]})
        assert "cancelled it" in problem["detail"]
    row = await asyncio.to_thread(world.wait_state, txn, ["Abandoned"])
    assert [each["id"] for each in row["commands"]] == [json.loads(result.stdout)["commandId"]]
    waited = await run(world, "wait", txn)
    assert (waited.exit_code, "(cancelled)" in waited.stderr) == (1, True)
    async with world.blobs() as blobs:
        records = [f"{txn}/{record}" for record in ("_header.json", "_outcome.json", "_told.json")]
        assert [each.name for each in await below(blobs, txn)] == records
    explained = json.loads((await run(world, "explain", txn, "--json")).stdout)
    assert (explained["state"], "(cancelled)" in explained["summary"]) == ("Abandoned", True)
    again = await run(world, "cancel", txn)
    assert (again.exit_code, "(already-closed)" in again.stderr) == (1, True)


async def test_an_extended_transaction_waits_longer_once_for_each_key(world: World, txn: str) -> None:
    before = datetime.fromisoformat((await begin(world, txn))["deadlines"]["awaiting"])
    url = f"{world.api}/v1/transactions/{txn}/extend"
    async with aiohttp.ClientSession() as session:
        # At once, so that some are judged by a row that does not know of the others.
        same = {"Idempotency-Key": "k-1", "X-Brh-User": "ann"}
        assert await asyncio.gather(*(post(session, url, "PT2H", **same) for _ in range(5))) == [202] * 5
    assert (await run(world, "extend", txn, "--by", "1h", "--key", "k-2")).exit_code == 0
    row = await shown(world, txn, lambda row: len(row["commands"]) > 1)
    assert [each["id"] for each in row["commands"]] == ["k-1", "k-2"]
    assert datetime.fromisoformat(row["deadlines"]["awaiting"]) == before + timedelta(hours=3)
    assert row["commands"][0]["by"] == "ann"
    created, *said = (row["timestamps"]["created"], *(each["at"] for each in row["commands"]))
    assert [created, *said] == sorted([created, *said]), "with the time at which it was said"
    assert (await run(world, "extend", txn, "--by", "1h", "--key", "k-2")).exit_code == 0
    too_long = await run(world, "extend", txn, "--by", "5d")
    assert (too_long.exit_code, "(beyond-limit)" in too_long.stderr) == (1, True)
    assert len((await shown(world, txn, bool))["commands"]) == 2


async def test_what_is_open_is_not_delivered_again_and_says_so(world: World, txn: str) -> None:
    await begin(world, txn)
    result = await run(world, "retry", txn)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{txn} is AwaitingResults: there is nothing to deliver yet (nothing-to-retry)" in result.stderr
    assert (await run(world, "retry", f"{txn}-unknown")).exit_code == 3
    explained = await run(world, "explain", txn)
    assert (explained.exit_code, f"Next: brh send {txn} --only-missing" in explained.stdout) == (0, True)
    assert "Series s: 1 of 2 payloads: 2." in explained.stdout
    assert "Next deadline: " in (await run(world, "status", txn)).stdout


async def test_only_what_is_missing_is_sent_again(world: World, txn: str, tmp_path: Path) -> None:
    series = {"s": Chunks(txn, [100] * 5)}
    file = tmp_path / "result"
    file.write_bytes(b"".join(series["s"].chunk(ordinal) for ordinal in range(1, 6)))
    await publish_payloads(world, txn, series, [4, 2])
    await shown(world, txn, lambda row: row["series"] and row["series"][0]["receivedCount"] == 2)
    again = ("send", txn, "--series", f"s={file}", "--only-missing", "--chunk-size")
    assert (await run(world, *again, "50")).exit_code == 2
    sent = await run(world, *again, "100", "--json")
    assert (sent.exit_code, json.loads(sent.stdout)["payloads"]) == (0, 3), sent.stderr
    row = await asyncio.to_thread(world.wait_state, txn, ["Completed"])
    assert row["duplicates"] == 0
    await assert_result(world, txn, series)
    nothing = await run(world, *again, "100")
    assert (nothing.exit_code, "nothing is missing" in nothing.stdout) == (0, True)
