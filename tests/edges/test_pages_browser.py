"""The pages in a real browser: alive, without an error, by keyboard alone, for screen readers, without JavaScript."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from http_trackers import TOPICS, HttpTracker, two_trackers
from playbook import T1, Playbook, command, delivered, header, passes, payload, refused
from playwright.async_api import Page, expect

from streams.partition import Partition
from tables.projection import view
from tables.transaction import FINAL, Transaction
from tests.support.browser import DEADLINE_MS, window

MINE = TOPICS.partition_of(T1) % 2
ONE_OF_THREE = Playbook() >> header(a=3, b=None) >> payload("a", 1, of=3)
TWO_OF_THREE = Playbook() >> header(a=3, b=None) >> payload("a", 1, of=3) >> payload("a", 2, of=3)
GAP = Playbook() >> header(a=2_000) >> payload("a", 7, of=2_000) >> passes(minutes=11)
CONFLICT = Playbook() >> header(a=60) >> payload("a", 5, of=60) >> payload("a", 5, of=60, body="y")
REFUSED = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> refused()
COMPLETED = Playbook() >> header(a=2, e=0) >> payload("a", 1, of=2) >> payload("a", 2, of=2) >> delivered("Completed")
ABANDONED = Playbook() >> header(a=2) >> command("cancel") >> delivered("Abandoned", "cancelled")
ALL = {
    "open": ONE_OF_THREE,
    "gap": GAP,
    "conflict": CONFLICT,
    "refused": REFUSED,
    "completed": COMPLETED,
    "abandoned": ABANDONED,
}


def shown(transaction: Transaction) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view(transaction)))
    return row


def tell(trackers: list[HttpTracker], transaction: Transaction, name: str = T1) -> None:
    """The owner knows it, and shows it."""
    owner = trackers[TOPICS.partition_of(name) % 2]
    owner.known[name] = msgspec.structs.replace(transaction, id=name)
    owner.rows[name] = shown(owner.known[name])
    if transaction.state not in FINAL:
        owner.partitions[TOPICS.partition_of(name)].put(owner.known[name])


def tell_all(trackers: list[HttpTracker], books: dict[str, Playbook]) -> None:
    for number, tracker in enumerate(trackers):
        tracker.partitions.update({each: Partition() for each in range(number, TOPICS.partitions, 2)})
    for name, book in books.items():
        tell(trackers, book.transaction, name)


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers([], shown, shown) as both:
        tell_all(both, {T1: ONE_OF_THREE, **ALL})
        yield both


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_an_error_or_keeps_anybody_out(trackers: list[HttpTracker], scheme: Any) -> None:
    paths = ["/", "/login", "/transactions", "/transactions?state=Failed", "/transactions/gap/series/a"]
    paths += ["/transactions/nope", *(f"/transactions/{name}" for name in ALL)]
    paths += [f"/transactions/{name}/explain" for name in ALL]
    async with window(color_scheme=scheme) as watched:
        for path in paths:
            await watched.page.goto(trackers[0].url + path)
            assert await watched.violations() == [], path
        grounds = await watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(re.findall(r"\d+", grounds)[0])
        assert red < 64 if scheme == "dark" else red > 192
        assert [each for each in watched.wrong if "404" not in each] == []


async def test_a_page_follows_what_happens_and_leaves_alone_what_somebody_does(trackers: list[HttpTracker]) -> None:
    async with window() as watched:
        page = watched.page
        await page.goto(f"{trackers[1 - MINE].url}/transactions/{T1}")
        await page.get_by_text("Cancel…").click()
        await page.get_by_label("Wait longer, by").select_option("PT6H")
        await page.locator("#find").focus()
        await page.keyboard.type("abc")
        await page.evaluate("document.body.dataset.mark = 'never loaded again'")
        tell(trackers, TWO_OF_THREE.transaction)
        await expect(page.locator("#series-1 + .counts")).to_have_text("2 of 3")
        await expect(page.locator(".map svg").first).to_have_attribute("aria-label", "Ordinals 1 to 3: 2 of 3 received")
        assert await page.locator("details").get_attribute("open") is not None
        await expect(page.get_by_label("Wait longer, by")).to_have_value("PT6H")
        await expect(page.locator("#find")).to_be_focused()
        await expect(page.locator("#find")).to_have_value("abc")
        tell(trackers, (TWO_OF_THREE >> delivered("Abandoned", "cancelled")).transaction)
        await expect(page.locator("h1 + .pill")).to_have_text("Abandoned")
        await expect(page.get_by_role("heading", name="Act")).to_have_count(0)
        assert await page.evaluate("document.body.dataset.mark") == "never loaded again"
        assert watched.wrong == []


async def test_a_page_is_fetched_again_when_its_tracker_tells_of_a_change_and_not_otherwise(
    trackers: list[HttpTracker],
) -> None:
    async with window() as watched:
        page, asked = watched.page, []
        page.on("request", lambda request: asked.append(request.url))
        address = f"{trackers[1 - MINE].url}/transactions/{T1}"
        await page.goto(address)
        await _until(page, "source !== null && source.readyState === EventSource.OPEN")
        assert asked.count(address) == 1, "it listens before it asks again"
        before_s = time.monotonic()
        tell(trackers, TWO_OF_THREE.transaction)
        await expect(page.locator("#series-1 + .counts")).to_have_text("2 of 3")
        assert asked.count(address) <= 2 + (time.monotonic() - before_s) // 5
        tell(trackers, (TWO_OF_THREE >> delivered("Abandoned", "cancelled")).transaction)
        await expect(page.locator("h1 + .pill")).to_have_text("Abandoned")
        await _until(page, "source === null")
        assert len([each for each in asked if "/events" in each]) == 1


async def test_a_page_that_is_not_up_to_date_any_more_says_so(trackers: list[HttpTracker]) -> None:
    async with window() as watched:
        page, stale = watched.page, watched.page.locator("#stale")
        await page.goto(f"{trackers[0].url}/transactions/{T1}")
        await expect(stale).to_be_hidden()
        trackers[0].app.in_recovery = True
        await expect(stale).to_be_visible()
        await expect(stale).to_have_text("Not up to date: The answer is not known just now. Trying again.")
        await expect(page.locator("h1")).to_have_text(T1)
        trackers[0].app.in_recovery = False
        await expect(stale).to_be_hidden()


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_page_that_could_not_be_made_asks_again_by_itself(
    trackers: list[HttpTracker], javascript: bool
) -> None:
    trackers[0].app.in_recovery = True
    async with window(java_script_enabled=javascript) as watched:
        await watched.page.goto(f"{trackers[0].url}/transactions/{T1}")
        await expect(watched.page.locator("h1")).to_have_text("The answer is not known just now")
        trackers[0].app.in_recovery = False
        await expect(watched.page.locator("h1")).to_have_text(T1)


async def test_without_javascript_everything_works(trackers: list[HttpTracker]) -> None:
    async with window(java_script_enabled=False) as watched:
        page = watched.page
        await page.goto(f"{trackers[0].url}/transactions")
        await page.get_by_label("State").select_option("AwaitingResults")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("tbody tr")).to_have_count(3)
        await page.get_by_role("link", name="gap", exact=True).click()
        await page.get_by_role("link", name="a", exact=True).click()
        await page.get_by_role("link", name=re.compile("Ordinals 1 to 250")).click()
        await expect(page.get_by_role("heading", level=2)).to_have_text("Ordinals 1 to 250")
        await page.get_by_role("navigation", name="Path").get_by_role("link", name="gap").click()
        await page.get_by_label("Wait longer, by").select_option("P1D")
        await page.get_by_role("button", name="Extend").click()
        await expect(page.get_by_text("Your command is on its way.")).to_be_visible()
        assert [(sent.action, sent.extend_s) for sent in trackers[0].published] == [("extend", 86_400.0)]
        await page.get_by_label("Find a transaction by its id").fill("refused")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("refused")
        assert watched.wrong == []


async def test_with_tokens_the_log_in_leads_to_what_was_asked_for(trackers: list[HttpTracker]) -> None:
    tokens = {"api_read_token": "r" * 32, "api_operate_token": "o" * 32}
    async with two_trackers([], shown, shown, **tokens) as guarded, window() as watched:
        tell_all(guarded, {T1: ONE_OF_THREE})
        page = watched.page
        await page.goto(f"{guarded[0].url}/transactions/{T1}")
        assert await watched.violations() == []
        await expect(page.get_by_label("Token")).to_be_focused()
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("The token is wrong")
        assert await watched.violations() == []
        await page.get_by_label("Token").fill("o" * 32)
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text(T1)
        await page.get_by_role("button", name="Extend").click()
        await expect(page.get_by_text("Your command is on its way.")).to_be_visible()
        assert [sent.action for sent in guarded[0].published] == ["extend"]
        tell(guarded, TWO_OF_THREE.transaction)
        await expect(page.locator("#series-1 + .counts")).to_have_text("2 of 3")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        assert [each for each in watched.wrong if "401" not in each] == []


async def test_the_keyboard_is_enough(trackers: list[HttpTracker]) -> None:
    async with window() as watched:
        page = watched.page
        await page.goto(f"{trackers[0].url}/transactions")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await _tab_to(page, "#t-gap")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("gap")
        await _tab_to(page, "summary")
        await page.keyboard.press("Space")
        await _tab_to(page, "button.danger")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Your command is on its way.")).to_be_visible()
        assert [(sent.transaction, sent.action) for sent in trackers[0].published] == [("gap", "cancel")]
        assert watched.wrong == []


async def test_a_refused_delivery_is_tried_again_by_its_button(trackers: list[HttpTracker]) -> None:
    async with window() as watched:
        page = watched.page
        await page.goto(f"{trackers[0].url}/transactions/refused")
        await page.get_by_role("button", name="Retry now").click()
        await expect(page.get_by_text("Your command is on its way.")).to_be_visible()
        (sent,) = trackers[0].published
        assert (sent.transaction, sent.action) == ("refused", "retry")
        again = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> refused() >> command("retry", name=sent.id)
        tell(trackers, again.transaction, "refused")
        await expect(page.get_by_text("Your command was taken: retry")).to_be_visible()
        assert watched.wrong == []


async def _until(page: Page, truth: str) -> None:
    """Until this is true in the page, whose policy lets nobody evaluate anything there but from outside."""
    async with asyncio.timeout(DEADLINE_MS / 1_000):
        while not await page.evaluate(truth):
            await asyncio.sleep(0.05)


async def _tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate(f"document.activeElement.matches({selector!r})"):
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", "it is seen where one is"
            return
    raise AssertionError(f"no way to {selector} by Tab")


async def test_on_a_telephone_nothing_has_to_be_moved_aside(trackers: list[HttpTracker]) -> None:
    async with window(viewport={"width": 375, "height": 720}) as watched:
        for path in (
            "/",
            "/transactions",
            "/transactions/gap",
            "/transactions/gap/explain",
            "/transactions/completed",
            "/transactions/nope",
        ):
            await watched.page.goto(trackers[0].url + path)
            assert await watched.page.evaluate("document.documentElement.scrollWidth") <= 375, path
