"""What a metric of this process stands at. They live as long as the process, so tests look before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.metrics import MetricWrapperBase

_COUNTS = ("_total", "_count")


def counted(metric: MetricWrapperBase, **labels: str) -> float:
    """What a counter counted, or how many times a histogram was told something; of all series with these labels."""
    samples = [sample for family in metric.collect() for sample in family.samples]
    return sum(each.value for each in samples if each.name.endswith(_COUNTS) and labels.items() <= each.labels.items())


def gauged(metric: MetricWrapperBase) -> dict[tuple[str, ...], float]:
    """What a gauge shows, by the values of its labels in their order."""
    return {tuple(each.labels.values()): each.value for family in metric.collect() for each in family.samples}


@contextmanager
def counts(metric: MetricWrapperBase, wanted: float, **labels: str) -> Iterator[None]:
    """So much more is counted inside."""
    before = counted(metric, **labels)
    yield
    assert counted(metric, **labels) - before == wanted
