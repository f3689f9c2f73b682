"""Figures to text: the median of the rounds, and from the lowest to the highest."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

Scenario = dict[str, list[dict[str, float]]]
"""Side by side what is compared: for each the figures of every round."""

_UNITS = {
    "mb_per_s": "MB/s",
    "payloads_per_s": "payloads/s",
    "cpu_s_per_gib": "CPU s/GiB",
    "cpu_us_per_payload": "CPU µs/payload",
    "peak_rss_mib": "peak RSS MiB",
    "requests_per_payload": "requests/payload",
    "seconds": "s",
}
_TITLES = {
    "azurite": "8 payloads of 250 MB into Azurite",
    "sink": "16 payloads of 250 MB into a service that keeps nothing",
    "small": "50,000 payloads of 1 KiB from four producers",
    "sweep": "Payloads of one size each, 512 MiB together, into Azurite",
    "commit": "Committing a series of 50,000 blocks",
}
_PACKAGES = ("aio-pika", "aiokafka", "azure-storage-blob", "awscrt", "pamqp")


def as_text(name: str, scenario: Scenario) -> str:
    """For a terminal."""
    lines = [_TITLES[name]]
    for side, rounds in scenario.items():
        lines.append(f"  {side}: " + ", ".join(f"{_figure(rounds, key)} {_UNITS[key]}" for key in rounds[0]))
    return "\n".join(lines)


def as_markdown(measured: Mapping[str, Scenario], rounds: int) -> str:
    """The page."""
    lines = [
        "# Performance",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: the median of {rounds} rounds, in parentheses the "
        "lowest and the highest. What stands in one table was measured in the same rounds, on the same machine, one "
        "after the other. Loopback, single-node brokers and the emulator: ratios tell more than rates.",
        "",
        f"Machine: {_processor()}, {platform.system()} {platform.release()}, Python {platform.python_version()}. "
        + ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
        + ".",
    ]
    for name, scenario in measured.items():
        keys = list(dict.fromkeys(key for each in scenario.values() for key in each[0]))
        lines += ["", f"## {_TITLES[name]}", "", "| | " + " | ".join(_UNITS[key] for key in keys) + " |"]
        lines.append("|---" * (len(keys) + 1) + "|")
        for side, each in scenario.items():
            cells = (_figure(each, key) if key in each[0] else "" for key in keys)
            lines.append(f"| {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _figure(rounds: list[dict[str, float]], key: str) -> str:
    values = sorted(each[key] for each in rounds)
    return f"{_short(median(values))} ({_short(values[0])}-{_short(values[-1])})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _processor() -> str:
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.machine()
