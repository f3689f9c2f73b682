"""How many requests one address may make: as many as flow into its bucket. Pure; `now_s` is in monotonic seconds."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import ip_address
from typing import Final

ADDRESSES_MAX: Final = 10_000
"""Buckets in memory, about 2 MB; the address that was seen least recently is forgotten first."""
BURST_S: Final = 2.0
"""A bucket holds what flows in within so long, so that a page may load all of its parts at once."""


class RateLimit:
    """A bucket for each address."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """How much was in it, and when."""

    def wait_s(self, address: str, now_s: float) -> float:
        """Take one request out of the bucket; if it is empty, in how many seconds it will not be any more."""
        name = _network(address)
        full = self._per_s * BURST_S
        held, at_s = self._buckets.pop(name, (full, now_s))
        held = min(full, held + (now_s - at_s) * self._per_s)
        wait_s = max(0.0, (1 - held) / self._per_s)
        self._buckets[name] = (held if wait_s else held - 1, now_s)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        return wait_s


def _network(address: str) -> str:
    """Whoever has an IPv6 address has the whole /64 around it."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(found) if found.version == 4 else found.exploded[:19]
