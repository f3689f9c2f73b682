"""RabbitMQ's management interface: virtual hosts of our own, and connections that an operator closes."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import Request, urlopen


class VirtualHost:
    """A virtual host that only one test, or one module of tests, uses."""

    def __init__(self, stack_env: dict[str, str], name: str) -> None:
        self.name = name
        self.url = urlunsplit(urlsplit(stack_env["BRH_AMQP_URL"])._replace(path=f"/{name}"))
        self._management = urlsplit(stack_env["BRH_RABBITMQ_MANAGEMENT_URL"])

    def make(self) -> None:
        user = quote(urlsplit(self.url).username or "")
        self.ask("PUT", f"/api/vhosts/{self.name}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.ask("PUT", f"/api/permissions/{self.name}/{user}", everything)

    def drop(self) -> None:
        self.ask("DELETE", f"/api/vhosts/{self.name}")

    def connections(self, name: str) -> list[str]:
        """What the broker calls the connections whose clients gave them this name."""
        found: list[dict[str, Any]] = self.ask("GET", f"/api/vhosts/{self.name}/connections")
        return [each["name"] for each in found if each.get("client_properties", {}).get("connection_name") == name]

    def close_connection(self, name: str) -> None:
        self.ask("DELETE", f"/api/connections/{quote(name, safe='')}")

    def queue(self, name: str) -> dict[str, Any]:
        """A queue and its statistics, which are some seconds old."""
        found: dict[str, Any] = self.ask("GET", f"/api/queues/{self.name}/{name}")
        return found

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of the answer, where there is any."""
        parts = self._management
        request = Request(f"http://{parts.hostname}:{parts.port}{path}", method=method, data=json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        token = f"{parts.username}:{parts.password}".encode()
        request.add_header("authorization", f"Basic {base64.b64encode(token).decode()}")
        with urlopen(request, timeout=20) as answer:
            content = answer.read()
        return json.loads(content) if content else None
