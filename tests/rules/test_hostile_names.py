"""Names that were made to lead elsewhere, to look like others, or to be too much: refused wherever they come in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from http_trackers import HttpTracker, two_trackers
from yarl import URL

from bridge.blobs import Listed
from bridge.contract.inbound import is_series_type, is_transaction_id, is_transaction_type
from bridge.layout import PartName
from streams.cli import brh
from streams.folders import gather

HOSTILE = {
    "up": "../../etc/passwd",
    "up, encoded": "%2e%2e%2fetc",
    "backslash": "..\\..\\x",
    "two dots": "a..b",
    "dot": ".",
    "absolute": "/etc/passwd",
    "folder": "a/b",
    "record of ours": "_outcome.json",
    "zero byte": "a\0b",
    "line end": "a\r\nSet-Cookie: x=y",
    "line end behind": "a\n",
    "terminal": "\x1b[2J\x1b]0;title\x07",
    "C1 control": "a\x9b31mb",
    "right to left": "T1\u202efdp.exe",
    "isolate": "T1\u2066x\u2069",
    "zero width": "T\u200b1",
    "looks like a": "\u0430bc",
    "full width": "\uff34\uff11",
    "digit of another script": "T\u0661",
    "combining": "e\u0301",
    "line separator": "a\u2028b",
    "markup": '"><script>alert(1)</script>',
    "template": "{{7*7}}",
    "format": "%s%n{0.__class__}",
    "shell": "$(id);`id`",
    "too long by one": "a" * 129,
    "a megabyte": "a" * (1 << 20),
}
names = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
LINE_MAX = 8_190
"""Bytes of a request's first line that aiohttp takes; what is longer never comes to us."""
ANSWER_MAX = 20_000
SAID_MAX = 1_600
"""A few lines."""


@names
def test_nothing_of_ours_is_named_so(name: str) -> None:
    assert not is_transaction_id(name)
    assert not is_series_type(name)
    assert not is_transaction_type(name)


@names
def test_a_blob_of_this_name_is_nobodys_part(name: str) -> None:
    """Other tools may have written to the container: what they left is neither told of, nor swept."""
    for blob in (name, f"{name}/_header.json", f"{name}/a/part-00000", f"T1/{name}/part-00000"):
        assert PartName.parse(blob) is None, blob
    done, begun = gather(None, [Listed(f"{name}/_header.json", 1, "0x1", None, {})])
    assert all(folder is None or folder.empty for folder in (*done, begun))


@pytest.fixture
async def tracker() -> AsyncIterator[HttpTracker]:
    async with two_trackers([], lambda _: {}, lambda _: {}) as (one, _):
        yield one


PATHS = (
    *("/v1/transactions/{}", "/v1/transactions/{}/gaps", "/v1/transactions/{}/explain"),
    *("/v1/transactions/{}/events", "/internal/transactions/{}", "/transactions/{}", "/v1/transactions?after={}"),
)


@names
async def test_neither_api_nor_pages_take_or_repeat_it(tracker: HttpTracker, name: str) -> None:
    hostile = {each for each in name if not each.isascii() or not each.isprintable()}
    for path in PATHS:
        url = URL(tracker.url + path.format(quote(name, safe="")), encoded=True)
        headers = {"Accept": "text/html" if path.startswith("/transactions") else "application/json"}
        async with tracker.app.http_client.get(url, headers=headers, allow_redirects=False) as response:
            text = await response.text()
            assert response.status == 400, text
            assert "Set-Cookie" not in response.headers
            if len(str(url)) < LINE_MAX:
                assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert len(text) < ANSWER_MAX
        assert not hostile & set(text.replace("\n", ""))
        if response.content_type == "text/html":
            assert "<script>alert" not in text
        elif len(str(url)) < LINE_MAX:
            assert json.loads(text)["code"] == "bad-parameter"


@names
async def test_no_command_is_given_to_it(tracker: HttpTracker, name: str) -> None:
    for action, body in (("retry", {}), ("cancel", {}), ("extend", {"by": "PT1H"})):
        url = URL(f"{tracker.url}/v1/transactions/{quote(name, safe='')}/{action}", encoded=True)
        async with tracker.app.http_client.post(url, json=body) as response:
            assert response.status == 400
    assert tracker.published == []


def assert_refused(command: list[str], name: str) -> None:
    """Before anybody is asked, without a sign that could do something, and briefly."""
    ran = CliRunner().invoke(brh, [*command, "--", name])
    assert ran.exit_code == 2, ran.output
    assert len(ran.output) < SAID_MAX
    assert not {each for each in name if not each.isprintable()} & set(ran.output.replace("\n", ""))


@names
def test_the_command_line_does_not_take_it(name: str) -> None:
    assert_refused(["status"], name)


@pytest.mark.parametrize(
    "command",
    [
        *(["gaps"], ["explain"], ["wait"], ["replay"], ["retry"], ["cancel"], ["extend", "--by", "1h"]),
        *(["fetch", "--out", "out"], ["send", "--series", "a=/dev/null"]),
    ],
    ids=lambda command: command[0],
)
def test_no_command_takes_one(command: list[str]) -> None:
    for name in ("up", "right to left", "a megabyte"):
        assert_refused(command, HOSTILE[name])
