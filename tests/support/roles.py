"""The users of an installation, with the permissions that operators are given: ops/rabbitmq-permissions.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from streams.supervisor import Child
from tests.support.management import VirtualHost

PERMISSIONS = Path(__file__).parents[2] / "ops" / "rabbitmq-permissions.json"
NAMES = ("brh-setup", "brh-bridge", "brh-delivery", "brh-producer", "brh-consumer", "brh-operator")


class Roles:
    """Users of one virtual host; there is one such host at a time, because users are the broker's."""

    def __init__(self, virtual_host: VirtualHost) -> None:
        self._host = virtual_host
        self.passwords = {name: uuid4().hex for name in NAMES}

    def make(self) -> None:
        """What the guide says: make the users, then import the file for the virtual host."""
        for name, password in self.passwords.items():
            tags = "monitoring" if name == "brh-operator" else ""
            self._host.ask("PUT", f"/api/users/{name}", {"password": password, "tags": tags})
        self._host.ask("POST", "/api/definitions", self._definitions())

    def drop(self) -> None:
        for name in NAMES:
            self._host.ask("DELETE", f"/api/users/{name}")

    def url(self, name: str) -> str:
        """How this user gets in."""
        return self.as_user(name, self._host.url)

    def as_user(self, name: str, url: str) -> str:
        """The same address for this user."""
        parts = urlsplit(url)
        where = f"{name}:{self.passwords[name]}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=where))

    def run_by(self, processes: list[Child]) -> list[Child]:
        """The same processes, each with its own user; trackers with nobody's, because they never log in."""
        urls = {
            "bridge": self.url("brh-bridge"),
            "delivery": self.url("brh-delivery"),
            "tracker": "amqp://nobody:nothing@127.0.0.1:1/",
        }
        return [
            Child(each.name, each.argv, {**each.env, "BRH_AMQP_URL": urls[each.name.partition("-")[0]]})
            for each in processes
        ]

    def _definitions(self) -> Mapping[str, Any]:
        """As in the file, for our virtual host."""
        there: dict[str, list[dict[str, str]]] = json.loads(PERMISSIONS.read_text())
        return {kind: [{**each, "vhost": self._host.name} for each in entries] for kind, entries in there.items()}
