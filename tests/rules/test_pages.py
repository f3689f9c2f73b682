"""Pages over HTTP: what they show is what the API says, whoever is asked; nothing that anybody sends becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from http_trackers import TOPICS, HttpTracker, two_trackers
from playbook import T1, Playbook, command, delivered, header, passes, payload, refused

from streams import partition
from streams.access import ASSETS_PATH
from streams.cli import show
from streams.pages import assets
from streams.pages.explained import explained_page
from streams.pages.routes import pause_s
from streams.pages.sparkline import sparkline
from streams.partition import Partition
from streams.record import Record
from tables.effects import KeepAlive
from tables.projection import view
from tables.transaction import FINAL, Transaction

OPEN = Playbook() >> header(a=120, b=None) >> payload("a", 1, of=120) >> payload("a", 3, of=120)
STALE: dict[str, Any] = {**view(OPEN.transaction), "state": "Failed"}
MINE = TOPICS.partition_of(T1) % 2
HOSTILE = '"><script>alert(1)</script>'
HTMX_INTEGRITY = "sha384-Qp9rdC8H7EqOoX+nR0P3RPG2Noji+qdwJlGpfzwQJsfOpp3sGwIdSP9xO3+UlEhn"
"""Of htmx.org 4.0.1, dist/htmx.min.js, as npm has it."""


class Markup(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(transaction: Transaction) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view(transaction)))
    return row


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers([T1], lambda _: shown(OPEN.transaction), lambda _: STALE) as both:
        for number, tracker in enumerate(both):
            tracker.partitions.update({each: Partition() for each in range(number, TOPICS.partitions, 2)})
        tell(both, OPEN.transaction)
        yield both


def tell(trackers: list[HttpTracker], transaction: Transaction) -> None:
    """The owner knows it, and shows it."""
    trackers[MINE].known[T1] = transaction
    if transaction.state not in FINAL:
        trackers[MINE].partitions[TOPICS.partition_of(T1)].put(transaction)
    trackers[MINE].rows[T1] = shown(transaction)


HTML = {"Accept": "text/html,*/*;q=0.8"}


async def get(tracker: HttpTracker, path: str, status: int = 200) -> Markup:
    async with tracker.app.http_client.get(tracker.url + path, headers=HTML) as response:
        text = await response.text()
        assert response.status == status, text
        assert response.content_type == "text/html"
        assert response.headers["Cache-Control"] == "no-store"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert [each for each in ("base-uri 'none'", "frame-ancestors 'none'") if each not in policy] == []
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert (response.headers.get("Refresh") == "2") == (status == 503)
        assert (response.headers.get("Retry-After") == "1") == (status == 503)
    page = Markup(text)
    assert not page.all("style")
    assert all(script.get("src", "").startswith(ASSETS_PATH) for script in page.all("script"))  # type: ignore[union-attr]
    for _, attributes in page.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "the morph of a fragment goes by ids"
    return page


PATHS = [
    "/",
    "/transactions",
    f"/transactions/{T1}",
    f"/transactions/{T1}/explain",
    f"/transactions/{T1}/series/a",
    "/find?id=T",
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_tracker_makes_the_same_page_of_what_the_owner_says(trackers: list[HttpTracker], path: str) -> None:
    pages = [await get(tracker, path) for tracker in trackers]
    assert all(T1 in page.text for page in pages)
    assert all("AwaitingResults" in page.text for page in pages)
    numbers = [re.sub(r"\d+ (s|min|h|d)\b", "", page.text) for page in pages]
    assert numbers[0] == numbers[1]


async def test_the_overview_counts_what_the_summary_counts(trackers: list[HttpTracker]) -> None:
    for tracker in trackers:
        page = await get(tracker, "/")
        _, summary = await tracker.get("/v1/summary")
        said = re.sub(r"\s+", " ", page.text)
        for state, count in summary["states"].items():
            assert f"{state} {count} " in said
        assert summary["oldestOpen"]["transactionId"] in said
    trackers[MINE].partitions.clear()
    for tracker in trackers:
        assert "not-ready" in (await get(tracker, "/", 503)).text


async def test_the_overview_draws_how_fast_things_went(
    trackers: list[HttpTracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(s=1_000.5)
    monkeypatch.setattr(partition, "time", SimpleNamespace(monotonic=lambda: clock.s))
    for number, tracker in enumerate(trackers):
        tracker.partitions.update({each: Partition() for each in range(number, TOPICS.partitions, 2)})
    book, ordinal = Playbook() >> header(a=120), 0
    held = trackers[MINE].partitions[TOPICS.partition_of(T1)]
    held.hear(datetime.now(UTC))
    held.put(book.transaction)
    for came in (1, 4, 0, 2, 100):  # in a second each; the last one is not over yet
        for _ in range(came):
            ordinal += 1
            book = book >> payload("a", ordinal, of=120, body="xxx" if came == 1 else "x")
        held.put(book.transaction)
        clock.s += 1
    clock.s -= 1
    for tracker in trackers:
        page = await get(tracker, "/")
        rates = (await tracker.get("/v1/summary"))[1]["rates"]["seconds"]
        assert rates["payloads"] == [1, 4, 0, 2, 100]
        drawn = [each for each in page.all("svg") if each["class"] == "spark"]
        assert len(drawn) == 2
        assert {each["viewbox"] for each in drawn} == {"0 0 600 48"}
        paths = [each["d"] for each in page.all("path") if each.get("class") == "line"]
        # From left to right, as high as its share of the highest, which is below the upper edge by its own width.
        assert paths[0] == "M0.0 35.8L200.0 2.0L400.0 47.0L600.0 24.5"
        assert paths == [sparkline(rates[each][:-1]).line for each in ("payloads", "bytes")]
        assert paths[0] != paths[1]
        areas = [each["d"] for each in page.all("path") if each.get("class") == "area"]
        assert areas == [f"{path}V48H0Z" for path in paths]
        said = [each["aria-label"] or "" for each in drawn]
        assert said[0].startswith("Payloads a second over the last 5 s: ")
        assert said[0].endswith(" on average, 4 at most")
        assert said[1].startswith("Bytes a second over the last 5 s: ")


async def test_a_transaction_says_what_is_missing_and_what_time_brings(trackers: list[HttpTracker]) -> None:
    page = await get(trackers[0], f"/transactions/{T1}")
    _, told = await trackers[0].get(f"/v1/transactions/{T1}/explain")
    for sentence in (told["summary"], *told["waitingFor"], *(each["text"] for each in told["events"]), told["command"]):
        assert sentence in page.text
    for each in told["otherwise"]:
        assert each.partition(": ")[2] in page.text
    assert "118 missing 2, 4-120" in re.sub(r"\s+", " ", page.text)
    labels = [each.get("aria-label") for each in page.all("svg")]
    assert "Ordinals 1 to 50: 2 of 50 received" in labels
    assert "Its total count is not known yet." in page.text
    (live,) = (each for each in page.all("div") if each.get("id") == "live")
    assert live["hx-get"] == f"/transactions/{T1}"


async def test_why_it_is_not_done_is_a_page_of_its_own_with_what_each_record_brought(
    trackers: list[HttpTracker],
) -> None:
    held = trackers[MINE].partitions[TOPICS.partition_of(T1)]
    held.recent.asked(KeepAlive("e", T1, 1), Record(0, 4711, datetime.now(UTC), None, None))
    transaction = await get(trackers[0], f"/transactions/{T1}")
    assert f"/transactions/{T1}/explain" in [each.get("href") for each in transaction.all("a")]
    page = await get(trackers[0], f"/transactions/{T1}/explain")
    _, told = await trackers[0].get(f"/v1/transactions/{T1}/explain")
    assert told["events"][-1]["offset"] == 4711
    for sentence in (told["summary"], *told["waitingFor"], *(each["text"] for each in told["events"]), told["command"]):
        assert sentence in page.text
    assert "offset 4711" in page.text
    assert f"brh replay {T1}" in page.text
    assert f"brh dlq list --transaction {T1}" in page.text
    (live,) = (each for each in page.all("div") if each.get("id") == "live")
    assert live["hx-get"] == f"/transactions/{T1}/explain"
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> delivered("Completed")
    tell(trackers, book.transaction)
    page = await get(trackers[0], f"/transactions/{T1}/explain")
    assert "Nothing any more." in page.text
    assert not [each for _, each in page.elements if "hx-get" in each]
    del told["since"]  # as the owner answers while a release is rolled out
    assert explained_page(told, datetime.now(UTC)).since is None


async def test_a_closed_transaction_does_not_ask_again_and_links_its_parts(trackers: list[HttpTracker]) -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> delivered("Completed")
    tell(trackers, book.transaction)
    page = await get(trackers[0], f"/transactions/{T1}")
    assert not [each for _, each in page.elements if "hx-get" in each]
    assert not page.all("button")[1:], "only the one of the search"
    links = [each.get("href") for each in page.all("a")]
    assert f"https://a/results/{T1}/_outcome.json" in links
    assert f"https://a/results/{T1}/a/part-00000" in links


async def test_what_helps_comes_first_and_is_the_same_wherever_somebody_looks(trackers: list[HttpTracker]) -> None:
    gap = Playbook() >> header(a=2) >> payload("a", 1, of=2) >> passes(minutes=11)
    tell(trackers, gap.transaction)
    send = f"brh send {T1} --only-missing"
    _, told = await trackers[0].get(f"/v1/transactions/{T1}/explain")
    for path in (f"/transactions/{T1}", f"/transactions/{T1}/explain"):
        page = (await get(trackers[0], path)).text
        said = page.rpartition("Next")[2]
        assert said.index(send) < said.index(f"brh gaps {T1}"), path
        assert told["advice"].replace("`", "") in page
    page = (await get(trackers[0], f"/transactions/{T1}")).text
    assert page.index(f"Send what is missing: {send}") < page.rindex("Next"), "the trouble says so, too"
    assert told["command"] == send
    assert show.advice(trackers[MINE].rows[T1]).startswith(f"Next: `{send}`")


async def test_without_a_command_a_page_says_what_can_be_done_once(trackers: list[HttpTracker]) -> None:
    book = Playbook() >> header(a=1) >> delivered("Abandoned", "no-header")
    tell(trackers, book.transaction)
    advice = "Have the producer send the header, under another transaction id."
    for path in (f"/transactions/{T1}", f"/transactions/{T1}/explain"):
        assert (await get(trackers[0], path)).text.count(advice) == 1


async def test_a_problem_comes_with_its_code_and_its_remedy(trackers: list[HttpTracker]) -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> refused(code="blocks-missing")
    tell(trackers, book.transaction)
    page = await get(trackers[0], f"/transactions/{T1}")
    assert "blocks-missing" in page.text
    assert f"brh send {T1} --only-missing" in page.text
    assert [each.get("action") for each in page.all("form")] == [
        "/find",
        f"/transactions/{T1}/retry",
        f"/transactions/{T1}/cancel",
    ]


def forms(page: Markup) -> list[str | None]:
    return [each.get("action") for each in page.all("form") if each.get("method") == "post"]


async def post(tracker: HttpTracker, path: str, form: dict[str, str]) -> tuple[int, str, str]:
    async with tracker.app.http_client.post(
        tracker.url + path, data=form, headers=HTML, allow_redirects=False
    ) as response:
        return response.status, response.headers.get("Location", ""), await response.text()


async def test_a_button_gives_a_command_once_and_says_what_became_of_it(trackers: list[HttpTracker]) -> None:
    page = await get(trackers[1 - MINE], f"/transactions/{T1}")
    assert forms(page) == [f"/transactions/{T1}/extend", f"/transactions/{T1}/cancel"]
    form = {"key": "k-1", "by": "PT1H"}
    asked = trackers[1 - MINE]
    status, location, _ = await post(asked, f"/transactions/{T1}/extend", form)
    assert (status, location) == (303, f"/transactions/{T1}?asked=k-1")
    (sent,) = asked.published
    assert (sent.id, sent.action, sent.extend_s, sent.by) == ("k-1", "extend", 3_600.0, "somebody on the web page")
    assert "on its way" in (await get(asked, location)).text
    tell(trackers, (OPEN >> command("extend", name="k-1", extend=3_600.0)).transaction)
    assert "was taken: extend" in (await get(asked, location)).text
    await post(asked, f"/transactions/{T1}/extend", form)
    assert asked.published == [sent], "the same key again is the same command"


async def test_a_delivery_that_is_refused_is_tried_again_by_a_button(trackers: list[HttpTracker]) -> None:
    sending = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> refused()
    tell(trackers, sending.transaction)
    asked = trackers[1 - MINE]
    assert f"/transactions/{T1}/retry" in forms(await get(asked, f"/transactions/{T1}"))
    status, location, _ = await post(asked, f"/transactions/{T1}/retry", {"key": "k-2"})
    assert (status, location) == (303, f"/transactions/{T1}?asked=k-2")
    assert [(sent.transaction, sent.id, sent.action) for sent in asked.published] == [(T1, "k-2", "retry")]
    tell(trackers, (sending >> command("retry", name="k-2")).transaction)
    assert "was taken: retry" in (await get(asked, location)).text


@pytest.mark.parametrize("path", [f"/transactions/{T1}", f"/transactions/{T1}/series/a"])
async def test_the_legend_names_every_kind_of_cell(trackers: list[HttpTracker], path: str) -> None:
    book = Playbook() >> header(a=1_000) >> payload("a", 1, of=1_000) >> payload("a", 1, of=1_000, body="y")
    tell(trackers, (book >> delivered("Failed", "conflicting-payload")).transaction)
    row = trackers[MINE].rows[T1]
    row["series"][0] |= {"receivedCount": 300, "rangesTruncated": True}
    row["series"][0] |= {"received": [[1, 99], [101, 105]], "missing": [[100, 100], [106, 400]]}
    page = await get(trackers[MINE], path)
    logo = {"gap"}
    drawn = {(each["class"] or "").partition("-")[0] for each in page.all("path") if each.get("class")} - logo
    classes = [(each.get("class") or "").split() for each in page.all("i")]
    swatches = {each[1].partition("-")[0] for each in classes if "swatch" in each}
    assert drawn == {"whole", "part", "missing", "conflict", "unknown"} == swatches
    assert "not known" in page.text
    assert "conflict" in page.text
    assert "contradicting" not in page.text


async def test_it_is_said_that_not_all_contradictions_are_marked(trackers: list[HttpTracker]) -> None:
    book = Playbook() >> header(a=60, on_conflict="keep-first")
    for ordinal in range(1, 9):
        book = book >> payload("a", ordinal, of=60) >> payload("a", ordinal, of=60, body="y")
    tell(trackers, book.transaction)
    for path in (f"/transactions/{T1}", f"/transactions/{T1}/series/a"):
        assert "the first of 8 contradicting messages" in (await get(trackers[MINE], path)).text


@pytest.mark.parametrize(
    ("path", "form", "status", "code"),
    [
        (f"/transactions/{T1}/retry", {"key": "k"}, 409, "nothing-to-retry"),
        (f"/transactions/{T1}/extend", {"key": "k", "by": "P7D"}, 400, "bad-parameter"),
        (f"/transactions/{T1}/extend", {"key": "k"}, 400, "bad-parameter"),
        (f"/transactions/{T1}/cancel", {"key": "a b"}, 400, "bad-parameter"),
        (f"/transactions/{T1}/cancel", {"key": "k", "more": "x" * 10_000}, 400, "bad-parameter"),
        ("/transactions/nope/cancel", {"key": "k"}, 404, "unknown-transaction"),
    ],
)
async def test_a_command_that_is_refused_is_a_page_with_the_reason(
    trackers: list[HttpTracker], path: str, form: dict[str, str], status: int, code: str
) -> None:
    found, _, text = await post(trackers[0], path, form)
    assert (found, code in text, trackers[0].published) == (status, True, [])


async def test_what_helps_names_the_transaction_also_to_a_program(trackers: list[HttpTracker]) -> None:
    _, _, text = await post(trackers[0], f"/transactions/{T1}/retry", {"key": "k"})
    assert f"brh gaps {T1}" in text
    _, problem = await trackers[0].ask("POST", f"/v1/transactions/{T1}/retry")
    assert f"`brh gaps {T1}`" in problem["remedy"]


async def test_a_form_of_another_site_does_nothing(trackers: list[HttpTracker]) -> None:
    async with trackers[0].app.http_client.post(
        f"{trackers[0].url}/transactions/{T1}/cancel", data={"key": "k"}, headers={"Origin": "http://evil.example"}
    ) as response:
        assert response.status == 403
    assert trackers[0].published == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/transactions/nope", 404, "unknown-transaction"),
        ("/transactions/a..b", 400, "bad-parameter"),
        (f"/transactions/{T1}/series/nope", 404, "not-found"),
        (f"/transactions/{T1}/series/a?first=0", 400, "bad-parameter"),
        (f"/transactions/{T1}/series/a?first=9&last=8", 400, "bad-parameter"),
        (f"/transactions/{T1}/series/a?last=121", 400, "bad-parameter"),
        ("/transactions?state=Open", 400, "bad-parameter"),
        ("/transactions?colour=red", 400, "bad-parameter"),
        ("/transactions?prefix=..", 400, "bad-parameter"),
        ("/nowhere", 404, "not-found"),
    ],
)
async def test_an_error_is_a_page_with_code_and_remedy(
    trackers: list[HttpTracker], path: str, status: int, code: str
) -> None:
    for tracker in trackers:
        assert (await tracker.get(path))[1]["code"] == code, "a program gets the problem itself"
        page = await get(tracker, path, status)
        assert code in page.text
        assert "remedy" in {each.get("class") for each in page.all("p")}


@pytest.mark.parametrize("path", PATHS)
async def test_while_nobody_can_know_a_page_says_so_and_asks_again(trackers: list[HttpTracker], path: str) -> None:
    for tracker in trackers:
        tracker.app.in_recovery = True
        page = await get(tracker, path, 503)
        assert "not-ready" in page.text
        assert "recovering" in page.text


async def test_what_nobody_expected_is_a_page_and_no_traceback(
    trackers: list[HttpTracker], caplog: pytest.LogCaptureFixture
) -> None:
    trackers[MINE].rows[T1] = {"state": "AwaitingResults"}
    page = await get(trackers[MINE], f"/transactions/{T1}", 500)
    assert "internal-error" in page.text
    assert "Traceback" not in page.text
    assert [record for record in caplog.records if record.exc_info]


async def test_what_producers_and_callers_write_never_becomes_markup(trackers: list[HttpTracker]) -> None:
    row = shown(OPEN.transaction)
    row["header"]["labels"] = {HOSTILE: HOSTILE}
    row["header"]["series"][0]["contentType"] = HOSTILE
    row["transactionType"] = HOSTILE
    row["problem"] = {
        **dict.fromkeys(("title", "detail", "code", "stage"), HOSTILE),
        "occurredAt": "2026-01-31T12:00:00.000Z",
        "terminal": True,
    }
    row["commands"] = [{"id": "k", "action": HOSTILE, "by": HOSTILE, "at": "2026-01-31T12:00:00.000Z"}]
    trackers[MINE].rows[T1] = row
    for path in (*PATHS, f"/transactions/{T1}?asked=k"):
        page = await get(trackers[MINE], path)
        assert len(page.all("script")) == 2
    for path in (f"/transactions/{T1}?asked={HOSTILE}", f"/transactions?{HOSTILE}", f"/transactions/{HOSTILE}"):
        async with trackers[0].app.http_client.get(trackers[0].url + path) as response:
            assert len(Markup(await response.text()).all("script")) in (0, 2)


async def test_the_search_finds_one_or_lists_those_that_begin_like_it(trackers: list[HttpTracker]) -> None:
    for tracker in trackers:
        async with tracker.app.http_client.get(f"{tracker.url}/find?id=%20{T1}%20", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, f"/transactions/{T1}")
        assert T1 in (await get(tracker, "/find?id=T")).text
        assert "No transaction is like that" in (await get(tracker, "/find?id=U")).text
        assert T1 in (await get(tracker, "/find?id=")).text
        _, listed = await tracker.get("/v1/transactions?prefix=T")
        assert [each["transactionId"] for each in listed["transactions"]] == [T1]
        assert (await tracker.get("/v1/transactions?prefix=T12"))[1]["transactions"] == []


def test_what_takes_long_to_find_is_asked_for_seldom() -> None:
    found = [pause_s(took_s) for took_s in (0, 0.04, 0.05, 0.2, 1.0, 2.0, 100.0)]
    assert found == [2, 2, 10, 10, 60, 600, 600]
    assert all(took_s <= pause_s(took_s) / 50 for took_s in (0.01, 0.04, 0.1, 0.5, 1.2, 12.0))


async def test_a_long_list_has_pages(trackers: list[HttpTracker]) -> None:
    names = sorted(f"V-{number:03d}" for number in range(120))
    for name in [*names, "W"]:  # the last one does not begin like that
        row = shown(OPEN.transaction) | {"transactionId": name}
        trackers[TOPICS.partition_of(name) % 2].rows[name] = row
    found: list[str | None] = []
    path = "/transactions?prefix=V"
    for _ in range(3):
        page = await get(trackers[0], path)
        found += [each.get("id") for each in page.all("a") if (each.get("id") or "").startswith("t-")]
        path = next((f"{each['href']}" for each in page.all("a") if each.get("rel") == "next"), "")
    assert found == [f"t-{name}" for name in names]
    assert path == ""


async def test_files_are_kept_by_browsers_while_their_address_names_the_content(trackers: list[HttpTracker]) -> None:
    page = await get(trackers[0], "/transactions")
    urls = [each["src"] for each in page.all("script")]
    urls += [each["href"] for each in page.all("link")]
    assert len(urls) == 4
    for url in urls:
        async with trackers[0].app.http_client.get(f"{trackers[0].url}{url}") as response:
            assert (response.status, response.headers["Cache-Control"]) == (200, assets.KEEP)
            etag = response.headers["ETag"]
        bare = f"{trackers[0].url}{(url or '').partition('?')[0]}"
        async with trackers[0].app.http_client.get(bare, headers={"If-None-Match": etag}) as response:
            assert (response.status, response.headers["Cache-Control"]) == (304, "no-cache")
    async with trackers[0].app.http_client.get(f"{trackers[0].url}/assets/routes.py") as response:
        assert response.status == 404


def test_what_is_vendored_is_what_npm_has() -> None:
    folder = Path(assets.__file__).with_name("assets")
    body = (folder / "htmx.min.js").read_bytes()
    assert f"sha384-{base64.b64encode(hashlib.sha384(body).digest()).decode()}" == HTMX_INTEGRITY
    assert "Zero-Clause BSD" in (folder / "htmx.LICENSE").read_text()
