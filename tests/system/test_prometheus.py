"""A real Prometheus, with our configuration and rules, scrapes a real installation."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen
from uuid import uuid4

import pytest
import yaml

from reference.dashboards import BOARDS
from tests.support.outside import Chunks, publish
from tests.support.world import World, free_port, until

FOLDER = Path(__file__).parents[2] / "ops/prometheus"
BINDS = {"brh-bridge": "BRH_BRIDGE_BIND", "brh-tracker": "BRH_API_BIND", "brh-delivery": "BRH_DELIVERY_BIND"}


class Prometheus:
    """One that is running."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Series and their values now; none while it does not answer yet."""
        try:
            with urlopen(f"http://{self._address}/api/v1/query?{urlencode({'query': query})}", timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except HTTPError as refused:
            raise AssertionError(f"{query}: {refused.read().decode()}") from None
        except URLError:
            return []
        return found


@pytest.fixture
def prometheus(world: World, tmp_path: Path) -> Iterator[Prometheus]:
    """With the targets of the world, and everything often."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [world.env[BINDS[job["job_name"]]]]}]
    (tmp_path / "rules.yml").write_bytes((FOLDER / "rules.yml").read_bytes())
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "token").write_text("none is asked for")
    address = f"127.0.0.1:{free_port()}"
    options = [
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={address}",
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(["prometheus", *options], stderr=log) as process:
        yield Prometheus(address)
        process.terminate()


def test_prometheus_scrapes_an_installation_and_sees_a_process_that_goes(world: World, prometheus: Prometheus) -> None:
    name = f"T{uuid4().hex}"
    asyncio.run(publish(world, name, {"a": Chunks("a", [100] * 3)}, transaction_type="valuation"))
    world.wait_state(name, ["Completed"])

    until(lambda: len(prometheus.ask("up == 1")) == len(BINDS), 30, "all three are scraped")
    until(lambda: prometheus.ask('brh_outcomes_total{transaction_type="valuation"}'), 30, "the outcome is counted")
    assert not prometheus.ask('ALERTS{alertname="BrhProcessDown",alertstate="firing"}')
    empty = set()
    for _, panels in BOARDS.values():
        for panel in panels:
            for query in panel.queries.values():
                if not prometheus.ask(query.replace("$__rate_interval", "1m").replace("$type", "valuation")):
                    empty.add(panel.title)
    assert not {"Processes that answer", "Transactions", "Lanes", "Partitions", "Rows", "Memory"} & empty

    world.end_processes()
    down = 'ALERTS{alertname="BrhProcessDown",job="brh-bridge"}'
    found = until(lambda: prometheus.ask(down), 60, "the alert is raised")
    assert found[0]["metric"]["alertstate"] == "pending"  # it fires when it has lasted
