"""Alerts and dashboards name metrics and labels that there are, fire when they should, and say what to do then."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.metrics import CATALOGUE, Kind
from reference.dashboards import BOARDS
from streams.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops/prometheus"
RUNBOOKS = ROOT / "docs/runbooks"
RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][0]["rules"]
TESTS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
CONFIG: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
PAGE = ["## Symptom", "## What it means", "## What to look at", "## Commands that help", "## What not to do"]

SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""
OTHERS = {"up": set[str](), "process_resident_memory_bytes": set[str](), "ALERTS": {"alertname", "alertstate"}}
"""Metrics that are not ours, with their labels."""


def series() -> dict[str, set[str]]:
    """Every name that a query may use, with the labels that it has."""
    found = {name: labels | SCRAPED for name, labels in OTHERS.items()}
    for each in CATALOGUE:
        labels = {*each.labels} | SCRAPED
        if each.type == "histogram":
            found |= {f"{each.name}_bucket": labels | {"le"}, f"{each.name}_sum": labels, f"{each.name}_count": labels}
        else:
            found[each.name] = labels
    return found


SERIES = series()


def wrong(query: str) -> list[str]:
    """What a query, or the name of a series, names that is not there."""
    text = re.sub(r"\[[^\]]*\]", "", query)
    used = re.findall(rf"\b(brh_\w+|{'|'.join(OTHERS)})\b(?:\{{([^}}]*)\}})?", re.sub(r'"brh[^"]*"', '""', text))
    if not used:
        return [f"no metric in {query}"]
    found = [name for name, _ in used if name not in SERIES]
    known = [(name, selector) for name, selector in used if name in SERIES]
    for name, selector in known:
        found += [f"{name}: {each}" for each in re.findall(r"(\w+)\s*[=!]", selector) if each not in SERIES[name]]
    shared = set.intersection(*(SERIES[name] for name, _ in known)) if known else set()
    grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", text)
    found += [each for names in grouped for each in re.findall(r"\w+", names) if each not in shared]
    return found


def queries() -> Iterator[Any]:
    """Of alerts and panels, with what they show of labels."""
    for rule in RULES:
        yield pytest.param(rule["expr"], rule["annotations"]["summary"], id=rule["alert"])
    for name, (_, panels) in BOARDS.items():
        for panel in panels:
            for legend, query in panel.queries.items():
                yield pytest.param(query, legend, id=f"{name}: {panel.title} {legend}")


@pytest.mark.parametrize(("query", "shown"), list(queries()))
def test_a_query_names_metrics_and_labels_that_there_are(query: str, shown: str) -> None:
    assert wrong(query) == []
    kept = {each for names in re.findall(r"\bby\s*\(([^)]*)\)", query) for each in re.findall(r"\w+", names)}
    if kept or "sum(" in query:
        labels = re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", shown)
        assert {*labels} - kept <= ({"instance"} if "absent" in query else set()), shown


@pytest.mark.parametrize(
    "query",
    [
        "sum(brh_nothing_total)",
        'sum(brh_events_total{type="x"})',
        "sum by (state) (brh_events_total)",
        "sum by (kind) (rate(brh_events[5m]))",
        "sum(rate(brh_event_seconds[5m]))",
        "vector(1)",
    ],
)
def test_what_is_not_there_is_found(query: str) -> None:
    assert wrong(query)


def test_the_series_of_the_rule_tests_are_as_processes_tell_them() -> None:
    assert [bad for test in TESTS for each in test["input_series"] for bad in wrong(each["series"])] == []


def promtool(*args: str | Path) -> None:
    done = subprocess.run(["promtool", *args], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_understands_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yml")


def test_each_alert_fires_when_it_should_and_none_over_a_healthy_installation() -> None:
    promtool("test", "rules", "rules_test.yml")


def test_every_alert_is_tested_both_ways() -> None:
    healthy, *provoked = TESTS
    assert healthy["name"] == "healthy"
    assert all(not each["exp_samples"] for each in healthy["promql_expr_test"])
    expected = {
        sample["labels"] for test in provoked for each in test["promql_expr_test"] for sample in each["exp_samples"]
    }
    assert expected == {f'{{alertname="{rule["alert"]}"}}' for rule in RULES}
    named = {re.split(r"[{ ]", each["series"])[0] for each in healthy["input_series"]}
    used = {name for rule in RULES for name in re.findall(r"\bbrh_\w+", re.sub(r'"brh[^"]*"', "", rule["expr"]))}
    assert used <= named, "healthy, and not absent"


def test_promtool_understands_what_is_scraped() -> None:
    promtool("check", "config", "--syntax-only", "prometheus.yml")
    jobs = {each["job_name"] for each in CONFIG["scrape_configs"]}
    assert jobs == {f"brh-{kind}" for kind in Kind}
    assert {*re.findall(r'job="(brh-[\w-]+)"', (PROMETHEUS / "rules.yml").read_text())} == jobs


def test_promtool_understands_every_query_of_the_dashboards(tmp_path: Path) -> None:
    every = [query for _, panels in BOARDS.values() for panel in panels for query in panel.queries.values()]
    assert len(every) > 60
    rules = [
        {"record": f"panel_{number}", "expr": query.replace("$__rate_interval", "5m").replace("$type", "x")}
        for number, query in enumerate(every)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", file)


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    shown = " ".join(query for _, panels in BOARDS.values() for panel in panels for query in panel.queries.values())
    names = {re.sub("_(bucket|sum|count)$", "", each) for each in re.findall(r"\bbrh_\w+", shown)}
    assert {each.name for each in CATALOGUE} - names == set()


def test_dashboards_are_files_that_grafana_reads_by_name() -> None:
    boards = [json.loads((ROOT / f"ops/grafana/{name}.json").read_text()) for name in BOARDS]
    assert len({board["uid"] for board in boards}) == len(boards) == 5
    for board in boards:
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len({*places}) == len(places)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_page_that_says_what_to_do(rule: dict[str, Any]) -> None:
    page = ROOT / rule["annotations"]["runbook"]
    assert page.parent == RUNBOOKS
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [f"# {rule['alert']}", *PAGE]
    assert f"```promql\n{rule['expr']}\n```" in text
    held = f", for {rule['for']}" if rule["for"] != "0m" else ""
    assert f"Severity {rule['labels']['severity']}{held}." in text
    commands = text.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert commands
    for line in commands:
        program, command, *_ = line.split()
        assert (program, command in COMMANDS) == ("brh", True), line
    named = {each for each in re.findall(r"`(brh_\w+)`", text) if each not in SERIES and f"{each}_sum" not in SERIES}
    assert not named
    assert f"| [{rule['alert']}]({page.name}) |" in (RUNBOOKS / "index.md").read_text()


def test_there_is_no_page_without_an_alert() -> None:
    pages = {f"docs/runbooks/{each.name}" for each in RUNBOOKS.glob("*.md") if each.name != "index.md"}
    assert pages == {rule["annotations"]["runbook"] for rule in RULES}
