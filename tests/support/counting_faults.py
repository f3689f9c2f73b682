"""What goes wrong in a worker of `counting_app`: one class each, found by its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaConnectionError
from faust.streams import current_event
from faust.transport.drivers.aiokafka import Consumer
from faust.types.tuples import TP

EVENTS = 20
FAIL_AT = 5


class Fault:
    """Nothing goes wrong."""

    name: ClassVar[str] = ""

    def __init__(self, app: faust.App, rows: Any, folder: Path) -> None:
        self.app = app
        self.rows = rows
        self.folder = folder
        self.install()

    def install(self) -> None:
        """Get in between, before the app starts."""

    def events(self, stream: Any) -> AsyncIterator[Any]:
        return stream.events()

    async def before(self, event: Any, number: int) -> None:
        """Before the row of an event is written."""

    def row(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        return row

    def after(self, event: Any, number: int) -> None:
        """After the row of an event was written."""

    def write(self, name: str, line: object) -> None:
        """For the test to read."""
        with (self.folder / name).open("a") as file:
            file.write(f"{line}\n")

    async def file(self, name: str) -> None:
        """Until there is a file with that name."""
        while not (self.folder / name).exists():
            await asyncio.sleep(0.02)

    def first_time(self) -> bool:
        """Whether no worker in this slot has been here before."""
        marker = self.folder / "happened"
        if marker.exists():
            return False
        marker.touch()
        return True


class AgentRaises(Fault):
    name = "agent raises"

    async def before(self, event: Any, number: int) -> None:
        if number == FAIL_AT and self.first_time():
            raise RuntimeError("a bug in the agent")


class RowRefused(Fault):
    """Kafka refuses one row, because it is too large for the topic."""

    name = "row refused"

    def row(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        if number == FAIL_AT and self.first_time():
            return {**row, "ballast": "x" * 10_000}
        return row


class SlowChangelog(Fault):
    """Each row takes a while to leave, and `commits` tells for each commit how many of its rows had not arrived."""

    name = "slow changelog"
    ROW_S: ClassVar[float] = 0.15  # longer than stock Faust's flush has patience for

    def install(self) -> None:
        futures: dict[TP, dict[int, asyncio.Future[Any]]] = {}
        send, send_changelog, commit = AIOKafkaProducer.send, self.rows.send_changelog, Consumer._commit

        async def slow(producer: Any, topic: str, *args: Any, **kwargs: Any) -> Any:
            if topic.endswith("-changelog"):
                await asyncio.sleep(self.ROW_S)
            return await send(producer, topic, *args, **kwargs)

        def noted(*args: Any, **kwargs: Any) -> Any:
            message = current_event().message
            future = send_changelog(*args, **kwargs)
            futures.setdefault(message.tp, {})[message.offset] = future
            return future

        async def counted(consumer: Any, offsets: dict[TP, int]) -> Any:
            unacked = sum(
                not future.done()
                for tp, end in offsets.items()
                for offset, future in futures.get(tp, {}).items()
                if offset < end
            )
            self.write("commits", unacked)
            return await commit(consumer, offsets)

        AIOKafkaProducer.send = slow
        self.rows.send_changelog = noted
        Consumer._commit = counted


class RowHeld(Fault):
    """Rows do not leave before there is a file `release`; `held` has a line for each that was written.

    Nothing is committed either, not even later: whoever takes the partition reads all events again, whatever stock
    Faust would have committed before its rows, and this worker never comes back for it. Once there is a file `away`, it
    takes no more events, though the client may have got some meanwhile.
    """

    name = "row held"

    @property
    def away(self) -> bool:
        return (self.folder / "away").exists()

    def install(self) -> None:
        send = AIOKafkaProducer.send

        async def held(producer: Any, topic: str, *args: Any, **kwargs: Any) -> Any:
            if topic.endswith("-changelog"):
                await self.file("release")
            return await send(producer, topic, *args, **kwargs)

        async def never(consumer: Any, offsets: Any) -> None:
            await self.file("never")

        AIOKafkaProducer.send = held
        Consumer._commit = never

    async def before(self, event: Any, number: int) -> None:
        if self.away:
            await self.file("never")

    def after(self, event: Any, number: int) -> None:
        self.write("held", number)


class RowHeldAndCutOff(RowHeld):
    """And once it is away, nothing reaches the group's coordinator."""

    name = "row held and cut off"

    def install(self) -> None:
        super().install()
        ask = GroupCoordinator._send_req

        async def asked(coordinator: Any, request: Any) -> Any:
            if self.away:
                raise KafkaConnectionError
            return await ask(coordinator, request)

        GroupCoordinator._send_req = asked


class LateAck(Fault):
    """All events but number `FAIL_AT` are acknowledged, those before it first; `done` says that both were committed."""

    name = "late ack"
    LATE: ClassVar[int] = FAIL_AT

    def install(self) -> None:
        self.kept: list[Any] = []

    def events(self, stream: Any) -> AsyncIterator[Any]:
        return stream.noack().events()

    async def before(self, event: Any, number: int) -> None:
        self.kept.append(event)
        if len(self.kept) == EVENTS:
            for events in (self.kept[: self.LATE], self.kept[self.LATE + 1 :]):
                for each in events:
                    each.ack()
                await self.app.consumer.commit()
            self.write("done", "")


class FirstLateAck(LateAck):
    """The same in a group without a committed offset."""

    name = "first late ack"
    LATE = 0


FAULTS = {
    kind.name: kind
    for kind in (Fault, AgentRaises, RowRefused, SlowChangelog, RowHeld, RowHeldAndCutOff, LateAck, FirstLateAck)
}
