"""RabbitMQ in a world: quorum queues, channels between them and lanes, dead letters, and an exchange for notices.

A queue hands out in order and puts back in front what it gets back. A channel sends what its queue has given it, and
while it waits for the queue to answer a question it does not look at what has come meanwhile: the answer goes first.
A connection may be cut with neither side knowing; the broker notices within three heartbeats.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
from pamqp import commands

from bridge import topology
from bridge.contract.outbound import CloudEvent
from bridge.notices import NoticesUnavailable
from tests.sim.process import Process
from tests.sim.world import Actor, World

NOTICED_S: Final = 15.0
"""Three heartbeats of five seconds."""
PUBLISH, CONFIRM = 41, 42


class Message:
    """One message in a queue, or in hand of a channel."""

    __slots__ = ("body", "id", "properties", "published", "returns", "routing_key", "too_often")

    def __init__(
        self, number: int, properties: commands.Basic.Properties, body: bytes, routing_key: str, published: object
    ) -> None:
        self.id = number
        self.properties = properties
        self.body = body
        self.routing_key = routing_key
        self.published = published
        """What the producer meant by it."""
        self.returns = 0
        """How often it was given back."""
        self.too_often = False


class Queue(Actor):
    """A quorum queue; a step hands out one message."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world.next_number())
        self.world = world
        self.name = name
        self.ready: deque[Message] = deque()
        self.channels: list[Channel] = []

    def put(self, message: Message) -> None:
        """At the end."""
        self.ready.append(message)
        self.look()

    def put_back(self, messages: list[Message]) -> list[Message]:
        """In front, in their order; returns those that were given back too often, and are put aside."""
        for message in messages:
            message.returns += 1
        self.ready.extendleft(m for m in reversed(messages) if m.returns <= topology.DELIVERY_LIMIT)
        self.look()
        return [message for message in messages if message.returns > topology.DELIVERY_LIMIT]

    def look(self) -> None:
        """Whether a message can be handed out."""
        if self.ready and any(channel.has_room for channel in self.channels):
            self.world.wake(self)

    def step(self) -> None:
        free = [channel for channel in self.channels if channel.has_room]
        if not free or not self.ready:
            self.world.rest(self)
            return
        channel = free[int(self.world.chance.random() * len(free))] if len(free) > 1 else free[0]
        channel.hand_over(self.ready.popleft())


class Channel(Actor):
    """The broker's end of a lane: what it was given, what it is asked, and what it has not been told of yet."""

    def __init__(self, rabbit: Rabbit, connection: Any, queue: Queue, prefetch: int) -> None:
        super().__init__(rabbit.world.next_number())
        self.rabbit = rabbit
        self.world = rabbit.world
        self.connection = connection
        self.queue = queue
        self.prefetch = prefetch
        self.unacked: dict[int, Message] = {}
        self.closed = False
        """The broker knows that the lane is gone."""
        self.cut = False
        """Nothing passes any more."""
        self._tags = 0
        self._mailbox: deque[tuple[int, Message] | None] = deque()
        """From the queue, and questions (None) from the lane in between."""
        self._inbox: deque[Any] = deque()
        """From the lane."""
        self._asking = False
        queue.channels.append(self)
        queue.look()

    @property
    def has_room(self) -> bool:
        return not self.closed and len(self.unacked) < self.prefetch

    def hand_over(self, message: Message) -> None:
        """From the queue."""
        self._tags += 1
        self.unacked[self._tags] = message
        self._mailbox.append((self._tags, message))
        self.world.wake(self)

    def told(self, method: Any) -> None:
        """From the lane."""
        if not self.cut and not self.closed:
            self._inbox.append(method)
            self.world.wake(self)

    def step(self) -> None:
        if self.closed:
            self.world.rest(self)
        elif self._asking:
            self._answer()
        elif self._mailbox and (not self._inbox or self.world.chance.random() < 0.5):
            self._send(self._mailbox.popleft())
        elif self._inbox:
            self._hear(self._inbox.popleft())
        else:
            self.world.rest(self)

    def _send(self, what: tuple[int, Message] | None) -> None:
        if what is None:
            self._asking = True
        elif not self.cut:
            self.connection.arrives(what)

    def _answer(self) -> None:
        self._asking = False
        waiting, consumers = len(self.queue.ready), len([c for c in self.queue.channels if not c.closed])
        if self.world.happens(self.rabbit.busy):
            self.world.fault("rabbit queue too busy to answer")
            waiting = consumers = 0
        if not self.cut:
            self.connection.arrives(commands.Queue.DeclareOk("", waiting, consumers))

    def _hear(self, method: Any) -> None:
        match method:
            case commands.Queue.Declare():
                self._mailbox.append(None)
            case commands.Basic.Ack():
                self._settled(method.delivery_tag, method.multiple, self.rabbit.on_ack)
            case commands.Basic.Reject():
                self._settled(method.delivery_tag, False, self.rabbit.put_aside)
            case commands.Basic.Cancel():
                self.prefetch = 0
            case commands.Connection.Close():
                self.notice()
                self.connection.arrives(commands.Connection.CloseOk())

    def _settled(self, tag: int, multiple: bool, then: Callable[[Message], None]) -> None:
        tags = [each for each in self.unacked if each <= tag] if multiple else [tag]
        for each in tags:
            then(self.unacked.pop(each))
        self.queue.look()

    def notice(self) -> None:
        """The broker knows that the lane is gone: what it had is given back."""
        if self.closed:
            return
        self.closed = True
        self.queue.channels.remove(self)
        for message in self.queue.put_back(list(self.unacked.values())):
            message.too_often = True
            self.rabbit.put_aside(message)
        self.unacked.clear()
        self._mailbox.clear()


class Rabbit:
    """The broker."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.queues = {name: Queue(world, name) for name in topology.CONSUMED}
        self.channels: list[Channel] = []
        self.rejected: list[Message] = []
        self.notices: list[tuple[str, str, CloudEvent]] = []
        """Queue, routing key and event of everything that a queue took."""
        self.on_ack: Callable[[Message], None] = lambda _message: None
        self.on_notice: Callable[[str, str, CloudEvent], None] = lambda _queue, _key, _event: None
        self.on_rejected: Callable[[Message], None] = lambda _message: None
        self.down = False
        self.blocked_until_s = 0.0
        """In alarm: publishers wait."""
        self.busy = 0.0
        """How likely a queue does not answer a question in time."""
        self.unheard = 0.0
        """How likely a publisher does not hear that its message was taken."""
        self.unsent = 0.0
        """How likely a message of a publisher is lost on its way."""
        self._messages = 0

    def open(self, connection: Any, queue: str, prefetch: int) -> Channel:
        """A consumer comes. Raises OSError while the broker is down."""
        if self.down:
            raise OSError("the broker is down")
        channel = Channel(self, connection, self.queues[queue], prefetch)
        self.channels = [each for each in self.channels if not each.closed]
        self.channels.append(channel)
        return channel

    def publish(
        self, queue: str, properties: commands.Basic.Properties, body: bytes, routing_key: str, published: object
    ) -> Message:
        """Take a producer's message."""
        self._messages += 1
        message = Message(self._messages, properties, body, routing_key, published)
        self.world.mix(body)
        self.queues[queue].put(message)
        return message

    def put_aside(self, message: Message) -> None:
        """Into `brh.rejected`."""
        self.rejected.append(message)
        self.on_rejected(message)

    def restart(self) -> None:
        """All connections are gone, nothing that was taken is."""
        for channel in list(self.channels):
            channel.cut = True
            channel.notice()
            channel.connection.broker_closed()
        self.channels = []

    def take(self, queue: str, key: str, event: CloudEvent) -> None:
        """A notice is in a queue."""
        self.notices.append((queue, key, event))
        self.world.mix(msgspec.json.encode(event))
        self.on_notice(queue, key, event)


class NoticeClient:
    """What a process has of the outbound exchange: `bridge.notices.Notices`."""

    def __init__(self, process: Process, rabbit: Rabbit) -> None:
        self._process = process
        self._rabbit = rabbit
        self._world = process.world

    async def publish(self, event: CloudEvent, routing_key: str, *, queue: str | None = None) -> bool:
        confirm = self._process.loop.create_future()
        if self._process.alive:
            self._world.fly(PUBLISH, self._arrive, confirm, event, routing_key, queue)
        return await confirm

    def _arrive(self, confirm: asyncio.Future[bool], event: CloudEvent, key: str, queue: str | None) -> None:
        world, rabbit = self._world, self._rabbit
        if rabbit.blocked_until_s > world.now_s:
            world.at(rabbit.blocked_until_s, self._arrive, confirm, event, key, queue)
            return
        if rabbit.down or world.happens(rabbit.unsent):
            world.fault("rabbit notice lost")
            world.fly(CONFIRM, _unconfirmed, confirm)
            return
        target = queue or (topology.NOTIFICATIONS if key.startswith("transaction.") else None)
        taken = target in (topology.NOTIFICATIONS, topology.ORPHANS, "replies")
        if taken and target is not None:
            rabbit.take(target, key, event)
        if world.happens(rabbit.unheard):
            world.fault("rabbit confirmation lost")
            world.fly(CONFIRM, _unconfirmed, confirm)
        else:
            world.fly(CONFIRM, _confirmed, confirm, taken)


def _confirmed(confirm: asyncio.Future[bool], taken: bool) -> None:
    if not confirm.done():
        confirm.set_result(taken)


def _unconfirmed(confirm: asyncio.Future[bool]) -> None:
    if not confirm.done():
        confirm.set_exception(NoticesUnavailable("not confirmed"))
