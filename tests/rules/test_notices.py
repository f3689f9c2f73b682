"""A message that RabbitMQ does not confirm, in whatever way the library says so, is one to be sent again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError
from pamqp.commands import Basic
from pydantic import SecretStr

from bridge import notices as module
from bridge.notices import Notices, NoticesUnavailable
from streams.notification import notice
from tables.effects import Announce
from tests.support.result import START

EVENT = notice(Announce("e-1", "T1", "valuation", "accepted", START), "lab")
KEY = "transaction.accepted.valuation"


class Channel:
    """One whose messages all end in this error, or never."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error
        self.default_exchange = self
        self.asked = asyncio.Event()

    async def get_exchange(self, *_: Any, **__: Any) -> Any:
        return self

    async def publish(self, *_: Any, **__: Any) -> None:
        """As `aio_pika.Exchange.publish`, whose own limit does not hold while a connection is being made."""
        self.asked.set()
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()


def on(channel: Channel) -> Notices:
    notices = Notices(SecretStr(""), "test")
    notices._channel = channel  # type: ignore[assignment]
    return notices


@pytest.mark.parametrize("queue", [None, "asked"])
@pytest.mark.parametrize(
    "error",
    [
        AMQPError(),
        DeliveryError(None, Basic.Nack(1)),
        ConnectionResetError(),
        TimeoutError(),
        ChannelInvalidStateError("closed"),  # a RuntimeError: the connection is away and not made anew yet
        asyncio.CancelledError(),  # the connection was given up while the confirmation was waited for
    ],
    ids=repr,
)
async def test_however_the_library_says_that_a_message_is_not_confirmed_it_may_be_sent_again(
    error: BaseException, queue: str | None
) -> None:
    with pytest.raises(NoticesUnavailable, match="was not confirmed"):
        await on(Channel(error)).publish(EVENT, KEY, queue=queue)


async def test_a_broker_that_does_not_come_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIRM_TIMEOUT_S", 0.01)
    async with asyncio.timeout(5):
        with pytest.raises(NoticesUnavailable, match="TimeoutError"):
            await on(Channel(None)).publish(EVENT, KEY)


async def test_who_has_to_stop_stops_waiting_for_a_confirmation() -> None:
    channel = Channel(None)
    publishing = asyncio.create_task(on(channel).publish(EVENT, KEY))
    await channel.asked.wait()
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing


async def test_who_has_run_out_of_time_is_told_so_and_not_that_the_broker_is_away() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await on(Channel(None)).publish(EVENT, KEY)
