"""The pages of a real installation, in a real browser: from the first payload to the result."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.support.browser import window
from tests.support.outside import Chunks, publish_header, publish_payloads
from tests.support.world import World

pytestmark = pytest.mark.timeout(240)


async def test_whoever_waits_sees_what_is_missing_and_then_the_result(world: World) -> None:
    name = f"T-{uuid4().hex[:12]}"
    series = {"s": Chunks(name, [10] * 10)}
    await publish_header(world, name, {"series": [{"type": "s", "totalCount": 10}]})
    await publish_payloads(world, name, series, ordinals=[1, 2, 3, 7])
    world.wait_state(name, {"AwaitingResults"})
    async with window() as watched:
        page = watched.page
        await page.goto(world.api + "/transactions")
        await page.get_by_role("link", name=name).click()
        await expect(page.locator(".missing-text")).to_have_text(re.compile("6 missing.*4-6, 8-10"))
        await publish_payloads(world, name, series, ordinals=[4, 5, 6, 8, 9, 10])
        await expect(page.locator("h1 + .pill")).to_have_text("Completed", timeout=60_000)
        await expect(page.get_by_role("link", name="part-00000")).to_be_visible()
        assert watched.wrong == []


async def test_a_button_cancels_for_good(world: World) -> None:
    name = f"T-{uuid4().hex[:12]}"
    await publish_header(world, name, {"series": [{"type": "s", "totalCount": 10}]})
    world.wait_state(name, {"AwaitingResults"})
    async with window() as watched:
        page = watched.page
        await page.goto(f"{world.api}/transactions/{name}")
        await page.get_by_text("Cancel…").click()
        await page.get_by_role("button", name=f"Cancel {name}").click()
        await expect(page.get_by_text("Your command")).to_be_visible()
        await expect(page.locator("h1 + .pill")).to_have_text("Abandoned", timeout=60_000)
        await expect(page.get_by_text("Your command was taken: cancel")).to_be_visible()
        await expect(page.get_by_text("somebody on the web page asked for it.")).to_be_visible()
        assert watched.wrong == []
    assert world.wait_state(name, {"Abandoned"})["problem"]["code"] == "cancelled"
