"""The three services together, in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, TypeVar

from streams.stack import install, lock
from streams.stack import state as state_file
from streams.stack.azurite import Azurite
from streams.stack.deadline import Deadline
from streams.stack.errors import StackError
from streams.stack.kafka import Kafka
from streams.stack.rabbitmq import RabbitMQ
from streams.stack.service import Service, ServiceStatus
from streams.stack.state import State

UP_TIMEOUT_S: Final = 120
_SERVICES: Final[tuple[type[Service], ...]] = (RabbitMQ, Kafka, Azurite)

_T = TypeVar("_T")


def _silent(_line: str) -> None:
    pass


class Stack:
    """RabbitMQ, Kafka and Azurite with their data in `folder`. Any number of stacks can run side by side.

    The services outlive the process that started them: who calls `up` calls `down`. All methods block, and may be
    called from a thread with a running event loop.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = _silent) -> None:
        """`say` is given a line for each step, also from other threads."""
        self.folder = folder.absolute()
        self._say = say

    def up(self, timeout_s: float = UP_TIMEOUT_S) -> None:
        """Return when all three answer; start what does not run, keep data and ports. Installs what is missing.

        Raises:
            StackError: something is missing, a port is taken, or a service does not come up.
        """
        install.ensure(self._say)
        with lock.held(self.folder, self._say):
            state = state_file.load(self.folder) or state_file.create(self.folder)
            deadline = Deadline(timeout_s)
            _at_once(self._services(state), lambda service: service.ensure(deadline, self._say), deadline)

    def down(self, *, wipe: bool = False) -> None:
        """Stop what runs, cleanly; with `wipe` drop data, ports and names too. Nothing running is fine."""
        if not self.folder.is_dir():
            return
        with lock.held(self.folder, self._say):
            state = state_file.load(self.folder)
            if state is not None:
                _at_once(self._services(state), self._stop)
            if wipe:
                self._wipe()
        if wipe and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def status(self) -> list[ServiceStatus]:
        """How each service is now, in the order rabbitmq, kafka, azurite."""
        state = state_file.load(self.folder)
        if state is None:
            return [ServiceStatus(cls.name, None, None, False, None) for cls in _SERVICES]
        return _at_once(self._services(state), lambda service: service.status())

    def env(self) -> dict[str, str]:
        """The `BRH_*` variables that lead to this stack, running or not.

        Raises:
            StackError: it was never up.
        """
        state = state_file.load(self.folder)
        if state is None:
            raise StackError(
                f"there is no stack in {self.folder}", code="no-stack", remedy="Start one with brh stack up."
            )
        return {name: value for service in self._services(state) for name, value in service.env().items()}

    def _services(self, state: State) -> list[Service]:
        return [cls(self.folder, state) for cls in _SERVICES]

    def _stop(self, service: Service) -> None:
        if service.stop():
            self._say(f"{service.name} stopped")

    def _wipe(self) -> None:
        # By name: the folder may be one that the user keeps other things in.
        for cls in _SERVICES:
            shutil.rmtree(self.folder / cls.name, ignore_errors=True)
        state_file.forget(self.folder)
        lock.forget(self.folder)
        self._say(f"data in {self.folder} dropped")


def _at_once(services: Sequence[Service], work: Callable[[Service], _T], deadline: Deadline | None = None) -> list[_T]:
    """Do `work` for all services at the same time. Every one gets its chance before the first error is raised."""
    with ThreadPoolExecutor(len(services)) as pool:
        futures: list[Future[_T]] = [pool.submit(work, service) for service in services]
        try:
            wait(futures)
        except BaseException:
            if deadline:
                deadline.call_off()
            raise
    errors = [error for future in futures if isinstance(error := future.exception(), StackError)]
    if errors:
        raise StackError("; ".join(map(str, errors)), code=errors[0].code, remedy=errors[0].remedy) from errors[0]
    return [future.result() for future in futures]
