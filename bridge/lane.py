"""A lane: one consumer on one connection of its own, whose bodies are streamed.

No AMQP library for Python hands over a body before all of it is in memory. Here the kernel writes it into memory that
the receiver names, and when there is none the lane stops reading: the broker waits, and nothing grows.

A lane never publishes, because a broker in alarm stops reading from connections that do, acknowledgements included.
It never recovers either: any error closes it, what it had in hand is delivered again, and `bridge.lanes` opens another.
Delivery tags count within one lane, so a message can only be settled through the lane that it came from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from pamqp import commands
from pamqp.base import Frame

from bridge import metrics
from bridge.ages import Ages
from bridge.amqp_address import AmqpAddress
from bridge.amqp_connection import AmqpConnection, LaneClosed
from bridge.envelope import Properties
from bridge.forgotten import FORGOTTEN_S, Forgotten
from bridge.frames import Begin, Body, DroppedBody, FrameError
from bridge.reached import Seen

OPEN_TIMEOUT_S: Final = 15.0
ACK_LINGER_S: Final = 0.5
"""How long an acknowledgement waits at most for those of earlier messages, to share a frame with them. Small payloads
that come shuffled are settled out of order, and to a quorum queue one frame for each is most of what they cost."""

__all__ = ["Incoming", "Lane", "LaneClosed"]


class Incoming:
    """A message that begins to arrive: everything but its body."""

    __slots__ = ("as_sent", "lane", "properties", "redelivered", "routing_key", "size", "tag")

    def __init__(
        self, lane: Lane, deliver: Begin, size: int, found: commands.Basic.Properties, as_sent: bytes = b""
    ) -> None:
        self.lane = lane
        self.tag = deliver.delivery_tag or 0
        self.redelivered = deliver.redelivered
        self.routing_key = deliver.routing_key or ""
        self.size = size
        """Bytes."""
        self.properties = Properties(
            type=found.message_type,
            correlation_id=found.correlation_id,
            content_type=found.content_type,
            content_encoding=found.content_encoding,
            message_id=found.message_id,
            app_id=found.app_id,
            reply_to=found.reply_to,
            headers=found.headers or {},
        )
        self.as_sent = as_sent
        """The properties on the wire, where the message was pulled: nothing of them is lost by decoding."""


class Lane:
    """One consumer; `Lane.open` makes one that is consuming."""

    def __init__(
        self,
        accept: Callable[[Incoming], Body],
        name: str,
        queue: str = "",
        gave_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._accept = accept
        self._name = name
        self._queue = queue
        self._gave_back = gave_back
        self._connection = AmqpConnection(self._on_message, name, self._on_end)
        self._consumes = self._draining = False
        self._taken = self._in_order = 0
        self._settled_below = 1
        self._settled: set[int] = set()
        self._unsaid: set[int] = set()
        """Settled by an acknowledgement that the broker has not been sent yet."""
        self._saying: asyncio.TimerHandle | None = None
        self._ages = Ages()
        self._forgotten = Forgotten()

    @classmethod
    async def open(
        cls,
        address: AmqpAddress,
        queue: str,
        *,
        prefetch: int,
        accept: Callable[[Incoming], Body],
        name: str,
        gave_back: Callable[[], None] = lambda: None,
    ) -> Lane:
        """Connect, log in and consume.

        Args:
            address: where to.
            queue: must exist.
            prefetch: messages that may be in hand at once; 0: none comes unless `pull` asks for it.
            accept: called with each message before its first body byte; it must not block. What it returns takes the
                body, and can keep it waiting.
            name: of the connection, for the broker's operators.
            gave_back: called when it ends, unless it is certain that the broker had given it nothing but what is
                settled. Also for a lane that could not be opened, once it has asked for messages.

        Raises:
            LaneClosed: the broker refused; `code` says what.
            OSError: it cannot be reached, TimeoutError among them.
        """
        lane = cls(accept, name, queue, gave_back)
        connection = lane._connection
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, address.host, address.port, ssl=address.tls
                )
                await connection.log_in(address)
                if prefetch:
                    await connection.ask(commands.Basic.Qos(prefetch_count=prefetch), commands.Basic.QosOk)
                    lane._consumes = True
                    consume = commands.Basic.Consume(queue=queue, consumer_tag=name)
                    await connection.ask(consume, commands.Basic.ConsumeOk)
        except BaseException:
            connection.abort("could not be opened")
            raise
        return lane

    @property
    def closed(self) -> bool:
        """Nothing can be settled any more."""
        return self._connection.closed is not None

    def in_hand(self) -> tuple[int, float]:
        """How many messages are not settled, and for how many seconds the oldest of them."""
        count = self._taken - (self._settled_below - 1) - len(self._settled)
        now_s = asyncio.get_running_loop().time()
        return count, self._ages.oldest_s(self._settled_below, now_s) if count else 0.0

    async def wait_closed(self) -> LaneClosed:
        """Until the lane is gone; returns why."""
        return await self._connection.wait_gone()

    def ack(self, tags: Iterable[int]) -> None:
        """Acknowledge messages: at once those behind which nothing is in hand, the others within `ACK_LINGER_S`.

        Raises LaneClosed; they are delivered again then, which is harmless.
        """
        if (why := self._connection.closed) is not None:
            raise why
        fresh = set(tags)
        self._settle(fresh)
        self._unsaid |= fresh
        self._acknowledge(rest=False)
        if self._unsaid and self._saying is None:
            self._saying = asyncio.get_running_loop().call_later(ACK_LINGER_S, self._acknowledge)

    def reject(self, tag: int) -> None:
        """Have the broker dead-letter a message; its body may still be on the way. Raises LaneClosed."""
        self._settle([tag])
        self._connection.send(commands.Basic.Reject(tag, requeue=False))

    async def pull(self) -> bool:
        """Ask for one message, which may be in hand for as long as the lane lives; False: none waits.

        It comes to `accept`, its body after this has returned. Raises LaneClosed.
        """
        answer = await self._connection.ask(commands.Basic.Get(queue=self._queue), Frame)
        if not isinstance(answer, commands.Basic.GetOk | commands.Basic.GetEmpty):
            raise LaneClosed(f"{answer.name} came in place of a message")
        return isinstance(answer, commands.Basic.GetOk)

    async def look(self) -> Seen:
        """Ask how many messages wait in the queue; one question at a time. Raises LaneClosed.

        The answer comes behind what the broker has sent before it, so behind a body for which there is no room. A lane
        that the broker has forgotten is cut, for another one to be opened.
        """
        question = commands.Queue.Declare(queue=self._queue, passive=True)
        answer = await self._connection.ask(question, commands.Queue.DeclareOk)
        metrics.QUEUE_MESSAGES.labels(self._queue).set(answer.message_count or 0)
        seen = Seen(
            waiting=answer.message_count or 0,
            consumers=answer.consumer_count or 0,
            taken=self._taken,
            in_order=self._in_order,
            settled=self._settled_below - 1,
        )
        consumes = self._consumes and not self._draining
        if consumes and self._forgotten.look(seen, self.in_hand()[0], self._connection.now_s):
            self.abort(f"{seen.waiting} messages wait, and none has come for {FORGOTTEN_S:g} s")
        return seen

    def proceed(self) -> None:
        """There is room for a body again."""
        self._connection.proceed()

    def drain(self) -> None:
        """Take nothing new. What is in hand can still be settled; what follows on the wire goes back at the end."""
        if not self._draining and not self.closed:
            self._draining = True
            if not self._consumes:
                return
            # Its answer would queue behind the body that is on the wire, so none is asked for.
            self._connection.send(commands.Basic.Cancel(consumer_tag=self._name, nowait=True))

    async def close(self) -> None:
        """Say farewell and let go; unsettled messages go back to their queue."""
        self.drain()
        if not self.closed:
            self._acknowledge()
        await self._connection.close()

    def abort(self, reason: str) -> None:
        """Cut the connection; again is harmless."""
        self._connection.abort(reason)

    def _settle(self, tags: Iterable[int]) -> None:
        self._settled.update(tags)
        while self._settled_below in self._settled:
            self._settled.remove(self._settled_below)
            self._settled_below += 1

    def _acknowledge(self, *, rest: bool = True) -> None:
        # One frame for all up to a tag, where every earlier one is settled; the tag itself must still be open.
        together = {tag for tag in self._unsaid if tag < self._settled_below}
        acks = [commands.Basic.Ack(max(together), multiple=True)] if together else []
        self._unsaid -= together
        if rest:
            acks += [commands.Basic.Ack(tag) for tag in sorted(self._unsaid)]
            self._unsaid.clear()
        if self._saying is not None and not self._unsaid:
            self._saying.cancel()
            self._saying = None
        if acks:
            self._connection.send(*acks)

    def _on_end(self, answered: bool) -> None:
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None
        # Unanswered, there may be more on the wire than we have seen.
        if self._consumes and not (answered and self._settled_below > self._taken):
            self._gave_back()

    def _on_message(self, deliver: Begin, size: int, found: commands.Basic.Properties) -> Body:
        self._taken += 1
        self._ages.came(self._taken, self._connection.now_s, self._settled_below)
        if isinstance(deliver, commands.Basic.GetOk):
            if not self._connection.answer(deliver):
                raise FrameError("a message that nobody asked for")
            return self._accept(Incoming(self, deliver, size, found, self._connection.properties))
        # RabbitMQ 4 hands out messages of a higher priority ahead of others.
        self._in_order += not (deliver.redelivered or found.priority)
        if self._draining:
            return DroppedBody()
        return self._accept(Incoming(self, deliver, size, found))
