"""What RabbitMQ's management interface and the product's API say to anybody who asks."""

from __future__ import annotations

from typing import Any, Final, Self
from urllib.parse import urlsplit

from aiohttp import BasicAuth, ClientError, ClientSession, ClientTimeout

from tests.chaos.laws import Violation

INTAKE: Final = ("brh.headers", "brh.payloads", "brh.payloads.small")
TIMEOUT: Final = ClientTimeout(total=30)


class Outside:
    """An async context manager."""

    def __init__(self, config: dict[str, Any]) -> None:
        parts = urlsplit(config["management_url"])
        self._queues = f"http://{parts.hostname}:{parts.port}/api/queues/{config['virtual_host']}"
        self._login = BasicAuth(parts.username or "", parts.password or "")
        self._apis: list[str] = config["apis"]

    async def __aenter__(self) -> Self:
        self._session = ClientSession(timeout=TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def queues(self) -> list[Violation]:
        """Messages that still wait, or that somebody has in hand. Raises OSError."""
        try:
            async with self._session.get(self._queues, auth=self._login) as answer:
                found = {each["name"]: each.get("messages", 0) for each in await answer.json()}
        except (ClientError, TimeoutError) as error:
            raise OSError(repr(error)) from error
        return [Violation("I4", "", f"{found[name]} messages in {name}") for name in INTAKE if found[name]]

    async def state(self, transaction: str) -> str | None:
        """What the trackers say of a transaction; None where they do not."""
        for api in self._apis:
            try:
                async with self._session.get(f"{api}/v1/transactions/{transaction}") as answer:
                    if answer.status == 200:
                        return str((await answer.json())["state"])
            except (ClientError, TimeoutError, OSError):
                continue
        return None
