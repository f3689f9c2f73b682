"""The site is built from the pages, and every link in it leads somewhere, to the heading if it names one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Anchors(HTMLParser):
    """Links and ids of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name == "id":
                self.ids.add(value)
            elif value and (name, tag) in {("href", "a"), ("src", "img"), ("src", "script"), ("href", "link")}:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, from a copy of the pages."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    (folder / "mkdocs.yml").write_bytes((ROOT / "mkdocs.yml").read_bytes())
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [program, "build", "--clean", "--strict"], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / ".brh" / "site"


def test_every_page_can_be_reached_from_the_first(site: Path) -> None:
    pages = {str(each.relative_to(ROOT / "docs").with_suffix(".html")) for each in (ROOT / "docs").rglob("*.md")}
    reached, todo = set[str](), ["index.html"]
    while todo:
        if (name := todo.pop()) not in reached:
            reached.add(name)
            links = Anchors((site / name).read_text()).links
            targets = {(site / name).parent / urlsplit(link).path for link in links if not urlsplit(link).scheme}
            todo += [str(each.resolve().relative_to(site)) for each in targets if each.suffix == ".html"]
    assert pages - reached == set()


def test_every_link_leads_somewhere(site: Path) -> None:
    pages = {each: Anchors(each.read_text()) for each in site.rglob("*.html") if each.name != "404.html"}
    assert sum(len(page.links) for page in pages.values()) > 100
    dead = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (parts.fragment and target in pages and not known(parts.fragment, pages[target])):
                dead.append(f"{file.relative_to(site)}: {link}")
    assert dead == []


def known(fragment: str, page: Anchors) -> bool:
    return unquote(fragment) in page.ids
