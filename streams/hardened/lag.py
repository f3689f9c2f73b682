"""How far a worker is behind the ends of its partitions."""

from __future__ import annotations

from typing import Any


def lags(consumer: Any, topic: str) -> dict[int, int]:
    """Records of each partition of a topic that the worker has and has not read, as of the last fetch of it.

    A partition of which nothing was fetched yet is left out: nobody knows, and 0 would say that nothing waits.
    """
    found = {}
    for tp in consumer.assignment():
        if tp.topic == topic and (end := consumer.highwater(tp)) is not None:
            read = consumer._read_offset.get(tp)
            found[tp.partition] = max(0, end - (read + 1 if read is not None else 0))
    return found
