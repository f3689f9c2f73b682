"""A process that outlives the command which started it, and that is only ever signalled when it is really ours."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from streams.stack.deadline import Deadline

# Some container engines give a hard limit of 2**30, for which Erlang and Java would reserve tables.
_OPEN_FILES_MAX: Final = 2**20
_POLL_S: Final = 0.05
_KILL_WAIT_S: Final = 10
_TAIL_LINES: Final = 5
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class _Record(msgspec.Struct, frozen=True):
    """The pid file: a pid alone may be somebody else's by now; with its time of birth it cannot be."""

    pid: int
    born: str


class Process:
    """At most one process at a time, remembered in `folder/pid`, writing to `folder/out.log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "out.log"
        self._pid_file = folder / "pid"

    def pid(self) -> int | None:
        """The pid when the process we started is still alive."""
        try:
            record = msgspec.json.decode(self._pid_file.read_bytes(), type=_Record)
        except (OSError, msgspec.DecodeError):
            return None
        return record.pid if born(record.pid) == record.born else None

    def start(self, command: Sequence[str | Path], env: Mapping[str, str]) -> int:
        """Start `command` in `folder` with a session of its own, so that Ctrl-C and hang-ups do not reach it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        files = _OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES_MAX)
        # The shell replaces itself with the command: the pid stays, and no code of ours runs between fork and exec.
        script = f'ulimit -S -n {files}; cd "$0" && exec "$@"'
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", script, str(self.folder), *map(str, command)],
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        temporary = self._pid_file.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(_Record(pid, born(pid, zombie=True) or "")))
        temporary.replace(self._pid_file)
        return pid

    def stop(self, grace_s: float) -> bool:
        """End the process: SIGTERM, then `grace_s` of patience, then SIGKILL. False when there was none."""
        pid = self.pid()
        if pid is not None:
            for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _KILL_WAIT_S)):
                if self.pid() == pid:
                    os.kill(pid, number)
                deadline = Deadline(patience_s)
                while self.pid() == pid and deadline.pause(_POLL_S):
                    pass
        self._pid_file.unlink(missing_ok=True)
        return pid is not None

    def last_words(self) -> str:
        """The end of the log, for an error message."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join([line for line in lines if line.strip()][-_TAIL_LINES:])


def born(pid: int, *, zombie: bool = False) -> str | None:
    """When `pid` was started, comparable for equality only. None when there is no such process.

    One that has ended but was not yet waited for counts only with `zombie`.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    if fields[0] in "ZX" and not zombie:
        _reap(pid)
        return None
    return f"{_BOOT_ID.read_text().strip()}:{fields[19]}"


def _reap(pid: int) -> None:
    """Take the exit status when `pid` is our own child: nobody else would, and it would stay a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
