"""What a shell is offered for ids and types: those that the API lists, if it answers at once."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bridge.settings import SettingsError, load
from streams.cli.client import connected
from streams.cli.errors import CliError
from streams.settings import ClientSettings

TIMEOUT_S: Final = 1.0
"""Somebody has pressed Tab and waits."""
LISTED_MAX: Final = 100


def transactions(incomplete: str) -> list[dict[str, Any]]:
    """Summaries of transactions whose id begins like that; none when nobody answers."""
    return _page({"limit": str(LISTED_MAX)} | ({"prefix": incomplete} if incomplete else {}))


def types(incomplete: str) -> list[str]:
    """Types of the first transactions, that begin like that; none when nobody answers."""
    found = {each["transactionType"] for each in _page({"limit": str(LISTED_MAX)})}
    return sorted(each for each in found if each.startswith(incomplete))


def _page(params: dict[str, str]) -> list[dict[str, Any]]:
    try:
        return asyncio.run(_listed(load(ClientSettings).api_url, params))
    except (CliError, SettingsError):
        return []  # a shell that completes has no place for an error; the command itself will tell it


async def _listed(url: str, params: dict[str, str]) -> list[dict[str, Any]]:
    async with connected(url) as api:
        page = await api.transactions(params, timeout_s=TIMEOUT_S)
    found: list[dict[str, Any]] = page["transactions"]
    return found
