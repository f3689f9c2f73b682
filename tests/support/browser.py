"""The distribution's Chromium, with an empty profile, driven by playwright."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, Response, async_playwright, expect

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DEADLINE_MS: Final = 15_000
expect.set_options(timeout=DEADLINE_MS)


class Watched:
    """A window, and everything that went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        page.set_default_timeout(DEADLINE_MS)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _failed(self, request: Request) -> None:
        # A page that is left lets go of what it was listening to, and of what it was asking for.
        if not (request.resource_type in ("eventsource", "fetch", "xhr") and request.failure == "net::ERR_ABORTED"):
            self.wrong.append(f"{request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.wrong.append(f"{response.url}: {response.status}")

    async def violations(self) -> list[str]:
        """What axe finds wrong with the page as it stands, by rule and element."""
        found = await Axe().run(self.page)
        return [f"{each['id']}: {node['target']}" for each in found.response["violations"] for node in each["nodes"]]


@asynccontextmanager
async def browser(**options: Any) -> AsyncIterator[BrowserContext]:
    """A browser that nobody has used before; `options` are those of a playwright context."""
    with TemporaryDirectory() as profile:
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                profile, executable_path=CHROMIUM, args=list(FLAGS), **options
            )
            try:
                yield context
            finally:
                await context.close()


@asynccontextmanager
async def window(**options: Any) -> AsyncIterator[Watched]:
    """One window of such a browser."""
    async with browser(**options) as context:
        yield Watched(context.pages[0] if context.pages else await context.new_page())
