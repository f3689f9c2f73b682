"""Which alerts fire over what the metrics of this process stood at, minute by minute.

watch = Watch(tmp_path)
watch.minute()
... something happens ...
watch.minute()
watch.assert_fires("BrhOrphans")

The series are those that a Prometheus would have read, and the rules are those of ops/prometheus.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from bridge.metrics import REGISTRIES

RULES_FILE: Final = Path(__file__).parents[2] / "ops/prometheus/rules.yml"
RULES: Final[list[dict[str, Any]]] = yaml.safe_load(RULES_FILE.read_text())["groups"][0]["rules"]
ALERTS: Final = {rule["alert"] for rule in RULES}
BEFORE_MIN: Final = 10
"""For so long everything stood as at the first look."""
AFTER_MIN: Final = 60
"""Of what lasts: longer than any alert waits."""
_NAMED: Final = {name for rule in RULES for name in re.findall(r"\bbrh_[a-z_]+", rule["expr"])}


def forget() -> None:
    """Everything that alerts look at is as in a new process."""
    for registry in REGISTRIES.values():
        for name, metric in registry._names_to_collectors.items():
            if name in _NAMED and isinstance(metric, MetricWrapperBase):
                metric.clear() if metric._labelnames else metric._metric_init()


class Watch:
    """What was read of this process, as if it were one of each kind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._minutes: list[dict[str, float]] = []

    def minute(self) -> None:
        """Read everything that alerts look at."""
        self._minutes.append(
            {
                f"{each.name}{_labels({'job': f'brh-{kind}', 'instance': f'{kind}:1', **each.labels})}": each.value
                for kind, registry in REGISTRIES.items()
                for family in text_string_to_metric_families(generate_latest(registry).decode())
                for each in family.samples
                if each.name in _NAMED
            }
        )

    def assert_fires(self, *alerts: str, after_min: int = AFTER_MIN) -> None:
        """These fire at some time, and no other; everything stays for so long as it was read last."""
        names = {name for minute in self._minutes for name in minute}
        fired = 'count_over_time(ALERTS{alertstate="firing"}[4h])'
        test = {
            "interval": "1m",
            "input_series": [
                *({"series": f'up{{job="brh-{kind}",instance="{kind}:1"}}', "values": "1x240"} for kind in REGISTRIES),
                *({"series": name, "values": self._values(name, after_min)} for name in sorted(names)),
            ],
            "promql_expr_test": [
                {
                    "expr": f"count by (alertname) (count by (alertname) ({fired}))",
                    "eval_time": f"{BEFORE_MIN + len(self._minutes) + after_min}m",
                    "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts],
                }
            ],
        }
        file = self._folder / "watched.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(RULES_FILE)], "evaluation_interval": "1m", "tests": [test]}))
        done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def _values(self, name: str, after_min: int) -> str:
        """In promtool's notation; `_` where there was no such series."""
        first, *others = ["_" if name not in minute else f"{minute[name]:g}" for minute in self._minutes]
        last = others[-1] if others else first
        return " ".join([f"{first}x{BEFORE_MIN}", *others, f"{last}x{after_min}"])


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
