"""What a stack remembers of itself between two `up`: its ports, its names and its passwords."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from streams.stack import ports
from streams.stack.errors import StackError

_FILE: Final = "state.json"
PORT_NAMES: Final = (
    "amqp",
    "management",
    "prometheus",
    "distribution",  # between Erlang nodes; rabbitmqctl comes in by it
    "epmd",
    "kafka",
    "controller",
    "blob",
)


class State(msgspec.Struct, frozen=True):
    """The content of `state.json`, which only its owner may read: it holds a password."""

    ports: dict[str, int]
    node: str
    """Name of the Erlang node. Two stacks need two names, even though each has a name server of its own."""
    amqp_password: str
    cluster_id: str
    """Kafka's: how we tell our broker from another one that took the port."""


def load(folder: Path) -> State | None:
    """The state of the stack in `folder`. None when there is no stack."""
    path = folder / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StackError(
            f"{path} cannot be read: {error}",
            code="stack-state",
            remedy=f"Run brh stack down --wipe --dir {folder}, then brh stack up.",
        ) from None


def create(folder: Path) -> State:
    """Choose everything once and write it to `folder`."""
    state = State(
        ports=ports.choose(PORT_NAMES),
        node=f"brh-{secrets.token_hex(4)}@localhost",
        amqp_password=secrets.token_urlsafe(16),
        cluster_id=_cluster_id(),
    )
    temporary = folder / f"{_FILE}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
    temporary.replace(folder / _FILE)
    return state


def forget(folder: Path) -> None:
    """Drop the state, so that the next `up` is a first one."""
    (folder / _FILE).unlink(missing_ok=True)


def _cluster_id() -> str:
    # Kafka's own spelling of a UUID. A leading dash would read as an option of its command line.
    while (text := base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
