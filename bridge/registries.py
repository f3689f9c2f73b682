"""The registries of metrics, one for each kind of process, and how a metric gets into them and into the catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import product
from typing import Final, NamedTuple, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

OTHER: Final = "other"
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Kind(StrEnum):
    """Of processes."""

    BRIDGE = "bridge"
    TRACKER = "tracker"
    DELIVERY = "delivery"


class Described(NamedTuple):
    """A metric as the documentation shows it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str
    kinds: tuple[Kind, ...]


disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: twice as many of them, and nobody asks

_M = TypeVar("_M", bound=MetricWrapperBase)
CATALOGUE: Final[list[Described]] = []
REGISTRIES: Final = {kind: CollectorRegistry(auto_describe=True) for kind in Kind}
for _registry in REGISTRIES.values():
    ProcessCollector(registry=_registry)
    PlatformCollector(registry=_registry)


def _for(kinds: tuple[Kind, ...], metric: _M, labels: tuple[str, ...]) -> _M:
    (described,) = metric.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    CATALOGUE.append(Described(name, described.type, labels, described.documentation, kinds))
    for kind in kinds:
        REGISTRIES[kind].register(metric)
    return metric


def counter(name: str, meaning: str, *kinds: Kind, labels: tuple[str, ...] = ()) -> Counter:
    """One that these kinds of processes have."""
    return _for(kinds, Counter(name, meaning, labels, registry=None), labels)


def gauge(name: str, meaning: str, *kinds: Kind, labels: tuple[str, ...] = ()) -> Gauge:
    """One that these kinds of processes have."""
    return _for(kinds, Gauge(name, meaning, labels, registry=None), labels)


def histogram(
    name: str, meaning: str, *kinds: Kind, buckets: tuple[float, ...] = SECONDS, labels: tuple[str, ...] = ()
) -> Histogram:
    """One that these kinds of processes have."""
    return _for(kinds, Histogram(name, meaning, labels, registry=None, buckets=buckets), labels)


def begin(metric: MetricWrapperBase, *values: Iterable[str]) -> None:
    """Let series of this metric begin at 0 now: for each of its labels the values that are known.

    A series that begins with its first event stands at 1 when it is seen for the first time, and Prometheus, which
    looks at differences, takes nothing for that: the event is missed, and the alert on it, too.
    """
    for labels in product(*values):
        metric.labels(*labels)


@contextmanager
def timed(durations: Histogram) -> Iterator[None]:
    """Observe how long what is done inside takes, when it succeeds.

    What fails is counted elsewhere: its time is that of a limit, and would hide how long the work itself takes.
    """
    began_s = time.perf_counter()
    yield
    durations.observe(time.perf_counter() - began_s)


class Bounded:
    """A label whose values others choose: so many are told apart, those that come later are `other`."""

    def __init__(self, values_max: int) -> None:
        self.values_max = values_max
        self.values: set[str] = set()
        """Those that are told apart."""

    def __call__(self, value: str) -> str:
        """The value as a label."""
        if value not in self.values:
            if len(self.values) >= self.values_max:
                return OTHER
            self.values.add(value)
        return value
