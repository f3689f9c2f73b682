"""Real RabbitMQ, Kafka and Azurite as ordinary processes on loopback, for development, tests and the demo."""

from streams.stack.errors import StackError
from streams.stack.service import ServiceStatus
from streams.stack.stack import Stack

__all__ = ["ServiceStatus", "Stack", "StackError"]
