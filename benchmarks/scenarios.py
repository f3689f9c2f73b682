"""What is measured. Each function names the sides that are compared: all of them are measured in the same round."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from socket import create_connection
from typing import Final

from benchmarks import null_sink
from benchmarks.aims import KNOWN_BEFORE, PACED_MB_PER_S
from benchmarks.commit import assembled, bare
from benchmarks.measured import Machine
from benchmarks.sides import BRIDGE, PEER, Figures, Side, alone, bridged
from bridge.layout import SHORT_SERIES
from bridge.topology import PAYLOADS, SMALL_PAYLOADS
from tests.support.world import free_port

LARGE: Final = 250_000_000
RAW: Final = ("benchmarks.raw_put_block",)
LANES: Final = ("benchmarks.lane_drain",)
BOTH: Final = ("benchmarks.both_ways",)
SMALL_COUNT: Final = 50_000
SMALL_BYTES: Final = 1_024
SWEPT: Final = {
    "64 KiB": 64 << 10,
    "1 MiB": 1 << 20,
    "8 MiB": 8 << 20,
    "32 MiB": 32 << 20,
    "100 MiB": 100 << 20,
    "250 MB": LARGE,
}
SWEEP_BYTES: Final = 512 << 20


def azurite(machine: Machine) -> dict[str, Side]:
    """8 payloads of 250 MB: the way out alone, both ways, bridge, peer; for the memory 8 of 8 MB, and a long series."""
    eight = range(1, 9)
    many = (str(len(eight)), str(LARGE))
    return {
        "raw Put Block": partial(alone, machine, (*RAW, *many), LARGE, len(eight), queued=False),
        KNOWN_BEFORE: partial(alone, machine, (*RAW, "--known-before", *many), LARGE, len(eight), queued=False),
        "MD5 alone": partial(alone, machine, (*RAW, "--md5", *many), LARGE, len(eight), queued=False),
        "both ways, uncoupled": partial(alone, machine, (*BOTH, *many), LARGE, len(eight)),
        "bridge": partial(bridged, machine, BRIDGE, LARGE, eight),
        "aio-pika and bytes": partial(bridged, machine, PEER, LARGE, eight),
        "bridge, 8 MB": partial(bridged, machine, BRIDGE, 8_000_000, eight),
        "bridge, blocks of 32 MiB": partial(bridged, machine, BRIDGE, LARGE, eight, total_count=SHORT_SERIES + 1),
    }


def sink(machine: Machine) -> dict[str, Side]:
    """8 payloads of 250 MB into a service that keeps nothing: each way alone, both, bridge, peer."""
    eight = range(1, 9)
    many = (str(len(eight)), str(LARGE))
    into = partial(_into_sink, machine, ())
    return {
        "raw Put Block": partial(into, alone, (*RAW, *many), LARGE, len(eight), queued=False),
        "lanes, no sink": partial(into, alone, (*LANES, PAYLOADS, many[0]), LARGE, len(eight)),
        "both ways, uncoupled": partial(into, alone, (*BOTH, *many), LARGE, len(eight)),
        "bridge": partial(into, bridged, BRIDGE, LARGE, eight),
        "aio-pika and bytes": partial(into, bridged, PEER, LARGE, eight),
    }


def paced(machine: Machine) -> dict[str, Side]:
    """The same into a service that takes no more than `PACED_MB_PER_S`: what the bridge's own waiting costs."""
    eight = range(1, 9)
    into = partial(_into_sink, machine, (str(PACED_MB_PER_S),))
    return {
        "raw Put Block": partial(into, alone, (*RAW, str(len(eight)), str(LARGE)), LARGE, len(eight), queued=False),
        "bridge": partial(into, bridged, BRIDGE, LARGE, eight),
    }


def small(machine: Machine) -> dict[str, Side]:
    """Tiny payloads of four producers, in order and shuffled; and what only takes them from the queue."""
    ordered = list(range(1, SMALL_COUNT + 1))
    shuffled = random.Random(1).sample(ordered, SMALL_COUNT)
    drains = {"aio-pika, no sink": (*PEER, "--drain"), "lane, no sink": LANES}
    return {
        "bridge, in order": partial(bridged, machine, BRIDGE, SMALL_BYTES, ordered, producers=4),
        "bridge, shuffled": partial(bridged, machine, BRIDGE, SMALL_BYTES, shuffled, producers=4),
        **{
            name: partial(
                alone, machine, (*module, SMALL_PAYLOADS, str(SMALL_COUNT)), SMALL_BYTES, SMALL_COUNT, producers=4
            )
            for name, module in drains.items()
        },
    }


def sweep(machine: Machine) -> dict[str, Side]:
    """From 64 KiB to 250 MB."""
    return {
        name: partial(bridged, machine, BRIDGE, size, range(1, max(4, min(2_000, SWEEP_BYTES // size)) + 1))
        for name, size in SWEPT.items()
    }


def commit(machine: Machine) -> dict[str, Side]:
    """The same blocks twice: by the product, and by the bare calls with lists made before."""
    return {"assemble": partial(assembled, machine), "Get Block List and Put Block List alone": partial(bare, machine)}


def _into_sink(
    machine: Machine, how: Sequence[str], side: Callable[..., Figures], *args: object, **more: object
) -> Figures:
    with _null_sink(how) as (address, pid):
        there = Machine(machine.env, {**machine.pids, "storage": pid})
        return side(there, *args, changes={"BRH_BLOB_CONNECTION_STRING": address}, **more)


@contextmanager
def _null_sink(how: Sequence[str]) -> Iterator[tuple[str, int]]:
    """A connection string for it, and its process."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.null_sink", str(port), *how])
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                create_connection((null_sink.HOST, port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # the interval of the poll
        account = f"http://{null_sink.HOST}:{port}/sink"
        yield f"DefaultEndpointsProtocol=http;AccountName=sink;AccountKey=c2luaw==;BlobEndpoint={account};", process.pid
    finally:
        process.terminate()
        process.wait()
