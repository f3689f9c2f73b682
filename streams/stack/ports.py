"""Free TCP ports on loopback, and who holds one that is not free."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"

# Below the range from which the kernel takes the local ports of outgoing connections (32768 and up by default):
# a remembered port from that range could be somebody's connection by the time the stack starts again.
_FIRST: Final = 20_000
_LAST: Final = 31_999
_ATTEMPTS_MAX: Final = 1_000


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        # As servers do: without it a port is "taken" for a minute after its last connection ended.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether anybody accepts connections on `port`; a cheap first look before a real question is asked."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def choose(names: Iterable[str], taken: Iterable[int] = ()) -> dict[str, int]:
    """A free port for each name, none of them in `taken`.

    At random, so that two stacks that choose at the same moment choose differently.
    """
    chosen: dict[str, int] = {}
    used = set(taken)
    for name in names:
        for _ in range(_ATTEMPTS_MAX):
            port = random.randint(_FIRST, _LAST)  # noqa: S311 - a port number is no secret
            if port not in used and is_free(port):
                break
        else:
            raise OSError(f"no free port between {_FIRST} and {_LAST} on {LOOPBACK}")
        used.add(port)
        chosen[name] = port
    return chosen


def holder(port: int) -> str:
    """Who listens on `port`, as `pid 12 (python3)`, or `another process` when the kernel does not tell us."""
    inode = _listening_inode(port)
    for process in Path("/proc").glob("[0-9]*") if inode else ():
        try:
            if any(os.readlink(fd) == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                return f"pid {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return "another process"


def _listening_inode(port: int) -> str | None:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: listening
                return fields[9]
    return None
