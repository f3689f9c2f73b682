"""What the three services have in common: started when dead, waited for until they answer, stopped by pid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from streams.stack import ports
from streams.stack.deadline import Deadline
from streams.stack.errors import StackError
from streams.stack.process import Process
from streams.stack.state import State

_POLL_S: Final = 0.2


class ServiceStatus(msgspec.Struct, frozen=True):
    """One line of `brh stack status`."""

    name: str
    pid: int | None
    port: int | None
    ready: bool
    version: str | None


class Service(ABC):
    """One service of a stack, in a folder of its own."""

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    """The ports of ours that it listens on; the first is the one that clients use."""
    grace_s: ClassVar[float]
    """How long a clean stop may take."""

    def __init__(self, stack_folder: Path, state: State) -> None:
        self.folder = stack_folder / self.name
        self.state = state
        self.process = Process(self.folder)

    @property
    def port(self) -> int:
        """The one that clients use."""
        return self.state.ports[self.port_names[0]]

    @abstractmethod
    def version(self) -> str | None:
        """Of the software, running or not. None when it is not installed."""

    @abstractmethod
    def start(self) -> None:
        """Write the configuration and start the process; do not wait."""

    @abstractmethod
    def answers(self) -> bool:
        """Ask for something that only a service in working order can do. False instead of an error."""

    @abstractmethod
    def env(self) -> Mapping[str, str]:
        """The `BRH_*` variables that lead here."""

    def ready(self) -> bool:
        """Whether our own process answers. Another one on our port does not count."""
        return self.process.pid() is not None and ports.is_listening(self.port) and self.answers()

    def ensure(self, deadline: Deadline, say: Callable[[str], None]) -> None:
        """Return when the service answers, started by us if it was not running.

        Raises:
            StackError: a port is taken, the process ended, or the time is over.
        """
        began = self.process.pid() is None
        if began:
            for name in self.port_names:
                self.check_port(name)
            self.start()
        while not self.ready():
            if self.process.pid() is None:
                raise self._error(f"{self.name} ended while it started", code="service-ended")
            if not deadline.pause(_POLL_S):
                raise self._error(
                    f"{self.name} did not answer within {deadline.timeout_s:.0f} s", code="service-not-ready"
                )
        say(f"{self.name} {self.version() or ''} {'started' if began else 'runs already'}, port {self.port}")

    def stop(self) -> bool:
        """End it cleanly and keep its data. False when it was not running."""
        return self.process.stop(self.grace_s)

    def status(self) -> ServiceStatus:
        """How it is now."""
        return ServiceStatus(self.name, self.process.pid(), self.port, self.ready(), self.version())

    def check_port(self, name: str) -> None:
        """Raise StackError naming who has the port that is ours."""
        port = self.state.ports[name]
        if not ports.is_free(port):
            raise StackError(
                f"port {port}, which {self.name} of this stack has for {name}, is taken by {ports.holder(port)}",
                code="port-taken",
                remedy="End that process, or use another --dir, or choose new ports with brh stack down --wipe.",
            )

    def _error(self, sentence: str, *, code: str) -> StackError:
        words = self.process.last_words()
        return StackError(
            f"{sentence}{': ' + words if words else ''}", code=code, remedy=f"Its log is {self.process.log}."
        )
