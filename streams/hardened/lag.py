"""How far a worker is behind the ends of its partitions."""

from __future__ import annotations

from typing import Any


def lags(consumer: Any, topic: str) -> dict[int, int]:
    """Records of each partition of a topic that the worker has and has not read; 0 before the first fetch."""
    found = {}
    for tp in consumer.assignment():
        if tp.topic == topic:
            end, read = consumer.highwater(tp), consumer._read_offset.get(tp)
            found[tp.partition] = max(0, end - (read + 1 if read is not None else 0)) if end else 0
    return found
