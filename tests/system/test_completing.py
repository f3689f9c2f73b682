"""A verdict that cannot be carried out: overdue, then failed; and what a delivery does that comes back in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from click.testing import CliRunner

from streams.cli import brh
from streams.supervisor import children
from tables.effects import Deliver, decode
from tests.support.hasty import hasty_world
from tests.support.outside import (
    Chunks,
    assert_result,
    kafka_records,
    listening,
    publish_header,
    publish_payloads,
)
from tests.support.world import World, until

TYPES = """
[default]
completing = "PT2S"
completing_max = "PT10M"
[types.hurried]
completing = "PT1S"
completing_max = "PT2S"
"""
MARGIN_S = 60.0


@pytest.fixture(scope="module")
def undelivered(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation whose deliveries have not been started."""
    # Nobody asks a second time by himself.
    never = {"BRH_REDRIVE_INTERVAL_S": "3600"}
    world = hasty_world(stack_env, tmp_path_factory.mktemp("undelivered"), TYPES, **never)
    world.provision()
    world.run(children(bridges=1, trackers=1, deliveries=0, env=world.env))
    world.wait_ready()
    yield world
    world.stop()


def has_problem(world: World, txn: str, code: str) -> bool:
    row = world.transaction(txn)
    return row is not None and code in [problem["code"] for problem in row["problems"]]


def until_asked(world: World, txn: str, times: int) -> None:
    """A delivery is asked for so often, and no more."""

    def asked() -> list[str]:
        effects = map(decode, asyncio.run(kafka_records(world, world.topics.deliveries, txn)))
        return [effect.outcome for effect in effects if isinstance(effect, Deliver)]

    until(lambda: len(asked()) >= times, MARGIN_S, f"{times} deliveries of {txn} are asked for")
    assert asked() == ["Completed"] * times


async def test_overdue_is_told_and_what_was_decided_holds_until_the_hard_limit(undelivered: World) -> None:
    world, late, lost = undelivered, f"T-{uuid4().hex[:12]}", f"T-{uuid4().hex[:12]}"
    series = {late: {"a": Chunks(late, [10] * 2)}, lost: {"a": Chunks(lost, [10] * 2)}}
    async with listening(world, "transaction.#") as heard:
        for txn, kind in ((lost, "hurried"), (late, "default")):
            await publish_header(world, txn, {"transactionType": kind, "series": [{"type": "a"}]})
            await publish_payloads(world, txn, series[txn], [1, 2])
        for txn, code in ((late, "overdue"), (lost, "overdue"), (lost, "completion-timeout")):
            await asyncio.to_thread(until, lambda t=txn, c=code: has_problem(world, t, c), MARGIN_S, f"{code} of {txn}")
        assert not heard.messages, "there is no delivery"
        await asyncio.to_thread(until_asked, world, late, 1)
        retried = await asyncio.to_thread(CliRunner(env=world.env).invoke, brh, ["retry", late])
        assert retried.exit_code == 0, retried.output
        await asyncio.to_thread(until_asked, world, late, 2)
        assert world.transaction(late)["state"] == world.transaction(lost)["state"] == "SendingCompletion"
        # What was asked for first would still be carried out, if it could.
        async with world.blobs() as blobs:
            await blobs.commit(f"{lost}/a/part-00000", [], content_type="text/plain", metadata={})
        await asyncio.to_thread(world.end_processes)
        world.run(children(bridges=1, trackers=1, deliveries=1, env=world.env))
        (completed,), (failed,) = await heard.wait(late), await heard.wait(lost)
        assert json.loads(completed.body)["data"]["outcome"] == "Completed"
        problem = json.loads(failed.body)["data"]["problem"]
        assert (problem["code"], problem["terminal"]) == ("completion-timeout", True)
        overdue = await heard.wait(late, "overdue")  # asked for several times, and told under one id
        assert len({message.message_id for message in overdue}) == 1
        assert json.loads(overdue[0].body)["data"]["problem"]["code"] == "overdue"
    await assert_result(world, late, series[late])
