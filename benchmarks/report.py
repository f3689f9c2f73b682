"""Figures to text: the median of the rounds, and from the lowest to the highest."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.aims import COMPARISONS, CORES, PACED_MB_PER_S, Comparison
from benchmarks.remarks import Scenario, remarks

FIGURES: Final = {
    "mb_per_s": "MB/s",
    "payloads_per_s": "payloads/s",
    "requests_per_payload": "Put Block/payload",
    "events_per_s": "events/s",
    "seconds": "s",
    "peak_rss_mib": "peak RSS MiB",
    "itself_cpu_s_per_gib": "own CPU s/GiB",
    "rabbitmq_cpu_s_per_gib": "RabbitMQ",
    "storage_cpu_s_per_gib": "storage",
    "kafka_cpu_s_per_gib": "Kafka",
    "together_cpu_s_per_gib": "together",
    "itself_cpu_us_per_payload": "own CPU µs/payload",
    "rabbitmq_cpu_us_per_payload": "RabbitMQ",
    "storage_cpu_us_per_payload": "storage",
    "kafka_cpu_us_per_payload": "Kafka",
    "together_cpu_us_per_payload": "together",
    "itself_cpu_us_per_event": "own CPU µs/event",
    "kafka_cpu_us_per_event": "Kafka",
    "cores": "cores in use",
}
_PER_GIB: Final = tuple(key for key in FIGURES if key.endswith("per_gib"))
_PER_PAYLOAD: Final = tuple(key for key in FIGURES if key.endswith("cpu_us_per_payload"))
_COLUMNS: Final = {
    "azurite": ("mb_per_s", "peak_rss_mib", *_PER_GIB, "cores"),
    "sink": ("mb_per_s", "peak_rss_mib", *_PER_GIB, "cores"),
    "paced": ("mb_per_s", "peak_rss_mib", "itself_cpu_s_per_gib", "cores"),
    "small": ("payloads_per_s", "requests_per_payload", "peak_rss_mib", *_PER_PAYLOAD, "cores"),
    "sweep": ("mb_per_s", "peak_rss_mib", *_PER_GIB, "cores"),
    "hardened": ("events_per_s", "itself_cpu_us_per_event", "kafka_cpu_us_per_event"),
    "restart": ("seconds",),
    "commit": ("seconds",),
}
_TITLES: Final = {
    "azurite": "8 payloads of 250 MB into Azurite",
    "sink": "8 payloads of 250 MB into a service that keeps nothing",
    "paced": f"The same into one that takes no more than {PACED_MB_PER_S} MB/s",
    "small": "50,000 payloads of 1 KiB from four producers",
    "sweep": "Payloads of one size each, 512 MiB together, into Azurite",
    "hardened": "80,000 events into a table, by one worker",
    "restart": "A worker that was killed, until it is ready again, with a session of 15 s",
    "commit": "Committing a series of 50,000 blocks",
}
_PACKAGES: Final = ("aio-pika", "aiokafka", "azure-storage-blob", "awscrt", "faust-streaming", "pamqp")


def as_text(name: str, scenario: Scenario) -> str:
    """For a terminal."""
    lines = [_TITLES[name]]
    for side, rounds in _by_side(scenario).items():
        lines.append(
            f"  {side}: " + ", ".join(f"{_figure(rounds, key)} {FIGURES[key]}" for key in _columns(name, rounds))
        )
    lines += [f"  {text}: {value} {wanted}" for text, value, wanted in _compared(name, scenario)]
    return "\n".join(lines)


def as_markdown(measured: Mapping[str, Scenario], services: Sequence[str] = ()) -> str:
    """The page; `services` are the names of what it was measured with, and their versions."""
    rounds = len(next(iter(measured.values())))
    lines = [
        "# Performance",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: the median of {rounds} rounds, in parentheses the "
        "lowest and the highest. What stands in one table was measured in the same rounds, one after the other, each "
        "round beginning with another line; a ratio is the median of the ratios of the rounds. Loopback, single-node "
        "brokers and the emulator: ratios tell more than rates.",
        "",
        f"Machine: {_processor()}, {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}. "
        + ", ".join([*services, *(f"{package} {version(package)}" for package in _PACKAGES)])
        + f". The brokers, the storage and what is measured share the {CORES} cores.",
    ]
    for name, scenario in measured.items():
        by_side = _by_side(scenario)
        keys = _columns(name, [figures for each in by_side.values() for figures in each])
        lines += ["", f"## {_TITLES[name]}", "", *_table(["", *(FIGURES[key] for key in keys)])]
        for side, each in by_side.items():
            lines.append(_row([side, *(_figure(each, key) if key in each[0] else "" for key in keys)]))
        lines += ["", *_table(["compared in each round", "found", "wanted"])]
        lines += [_row(each) for each in _compared(name, scenario)]
        for remark in remarks(name, scenario):
            lines += ["", remark]
    return "\n".join(lines) + "\n"


def _by_side(scenario: Scenario) -> dict[str, list[Mapping[str, float]]]:
    return {side: [found[side] for found in scenario] for side in scenario[0]}


def _columns(name: str, rounds: Sequence[Mapping[str, float]]) -> list[str]:
    return [key for key in _COLUMNS[name] if any(key in figures for figures in rounds)]


def _compared(name: str, scenario: Scenario) -> list[tuple[str, str, str]]:
    """Text, figure, and what was wanted; without those whose sides were not measured."""
    found = []
    for comparison in COMPARISONS[name]:
        try:
            values = [comparison.of(each) for each in scenario]
        except KeyError:
            continue
        unit = f" {comparison.unit}" if comparison.unit else ""
        found.append((comparison.text, f"{_spread(values)}{unit}", _judged(comparison, median(values))))
    return found


def _judged(comparison: Comparison, value: float) -> str:
    met = comparison.met(value)
    return "" if met is None else f"{comparison.wanted()}: {'met' if met else 'not met'}"


def _table(heads: Sequence[str]) -> list[str]:
    return [_row(heads), "|---" * len(heads) + "|"]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _figure(rounds: Sequence[Mapping[str, float]], key: str) -> str:
    return _spread([each[key] for each in rounds])


def _spread(values: Sequence[float]) -> str:
    return f"{_short(median(values))} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def _processor() -> str:
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.machine()
