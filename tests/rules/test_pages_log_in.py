"""With tokens the pages are for those who log in: by a form, for a cookie, and every button proves where it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import aiohttp
import pytest
from http_trackers import TOPICS, HttpTracker, two_trackers
from playbook import T1, Playbook, header, payload

from streams.access import SESSION_COOKIE
from tables.projection import view

READ, OPERATE = "read-" + "r" * 32, "operate-" + "o" * 32
OPEN = Playbook() >> header(a=3) >> payload("a", 1, of=3)
HTML = {"Accept": "text/html"}
PAGE = f"/transactions/{T1}"


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    row = view(OPEN.transaction)
    tokens = {"api_read_token": READ, "api_operate_token": OPERATE}
    async with two_trackers([T1], lambda _: row, lambda _: row, **tokens) as both:
        both[TOPICS.partition_of(T1) % 2].known[T1] = OPEN.transaction
        yield both


class Browser:
    """Keeps cookies as a browser does, and follows nothing by itself."""

    def __init__(self, tracker: HttpTracker, session: aiohttp.ClientSession) -> None:
        self._tracker = tracker
        self._session = session
        self.set_cookie = ""

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str, str]:
        options = {"headers": HTML, "allow_redirects": False, **options}
        async with self._session.request(method, self._tracker.url + path, **options) as response:
            self.set_cookie = response.headers.get("Set-Cookie", "")
            return response.status, response.headers.get("Location", ""), unescape(await response.text())

    async def log_in(self, token: str, following: str = PAGE) -> tuple[int, str, str]:
        return await self.ask("POST", "/login", data={"token": token, "next": following})


@pytest.fixture
async def browser(trackers: list[HttpTracker]) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(trackers[0], session)


def field(page: str, name: str) -> str:
    return page.partition(f'name="{name}" value="')[2].partition('"')[0]


@pytest.mark.parametrize("path", ["/", "/transactions?state=Failed", PAGE, f"{PAGE}/series/a", "/find?id=T"])
async def test_whoever_has_not_logged_in_is_asked_to_and_comes_back(browser: Browser, path: str) -> None:
    status, location, text = await browser.ask("GET", path)
    assert (status, T1 in text) == (303, False)
    status, _, form = await browser.ask("GET", location)
    assert status == 200
    status, location, _ = await browser.log_in(READ, field(form, "next"))
    assert (status, location) == (303, path)


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(browser: Browser) -> None:
    assert (await browser.log_in(READ))[0] == 303
    assert browser.set_cookie.startswith(f"{SESSION_COOKIE}=read.")
    assert READ not in browser.set_cookie
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"):
        assert attribute in browser.set_cookie
    assert "Secure" not in browser.set_cookie
    await browser.ask("POST", "/login", data={"token": READ}, headers={**HTML, "X-Forwarded-Proto": "https"})
    assert "Secure" in browser.set_cookie


async def test_a_wrong_token_is_told_and_opens_nothing(browser: Browser) -> None:
    for token in ("", "wrong", READ[:-1], READ + "x", "ü"):
        status, _, text = await browser.log_in(token)
        assert (status, "token-wrong" in text, browser.set_cookie) == (401, True, "")
    assert (await browser.ask("GET", PAGE))[0] == 303


@pytest.mark.parametrize(
    "following", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/\n/x"]
)
async def test_the_way_back_stays_with_us(browser: Browser, following: str) -> None:
    assert (await browser.log_in(READ, following))[1] == "/"


async def test_who_may_only_read_sees_no_buttons_and_can_press_none(
    browser: Browser, trackers: list[HttpTracker]
) -> None:
    await browser.log_in(READ)
    status, _, page = await browser.ask("GET", PAGE)
    assert (status, "Log out" in page, "/cancel" in page) == (200, True, False)
    status, _, text = await browser.ask("POST", f"{PAGE}/cancel", data={"key": "k"})
    assert (status, "operate-token-needed" in text) == (403, True)
    assert trackers[0].published == []


async def test_a_button_counts_only_where_it_stands_on_a_page_of_the_session(
    browser: Browser, trackers: list[HttpTracker]
) -> None:
    await browser.log_in(OPERATE)
    _, _, page = await browser.ask("GET", PAGE)
    csrf, key = field(page, "csrf"), field(page, "key")
    assert len(csrf) == 64
    for wrong in ({}, {"csrf": ""}, {"csrf": csrf[:-1]}, {"csrf": "0" * 64}):
        status, _, text = await browser.ask("POST", f"{PAGE}/cancel", data={"key": key, **wrong})
        assert (status, "csrf-token-wrong" in text, trackers[0].published) == (403, True, [])
    status, location, _ = await browser.ask("POST", f"{PAGE}/cancel", data={"key": key, "csrf": csrf})
    assert (status, location) == (303, f"{PAGE}?asked={key}")
    assert [(sent.action, sent.id) for sent in trackers[0].published] == [("cancel", key)]


async def test_whoever_logs_out_is_out(browser: Browser) -> None:
    await browser.log_in(OPERATE)
    assert (await browser.ask("GET", PAGE))[0] == 200
    status, location, _ = await browser.ask("POST", "/login", data={"leave": "yes"})
    assert (status, location) == (303, "/login")
    assert (await browser.ask("GET", PAGE))[0] == 303


async def test_what_a_page_fetches_again_says_that_the_session_has_ended(browser: Browser) -> None:
    headers = {**HTML, "HX-Request": "true", "Cookie": f"{SESSION_COOKIE}=read.1.{'n' * 16}.{'0' * 64}"}
    status, _, text = await browser.ask("GET", PAGE, headers=headers)
    assert (status, "session-ended" in text) == (401, True)


async def test_files_of_the_pages_are_for_everybody_and_nothing_else_is(browser: Browser) -> None:
    for path, wanted in (("/assets/pages.css", 200), ("/assets/../transactions", 303), ("/nowhere", 303)):
        assert (await browser.ask("GET", path))[0] == wanted, path
