"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pictures.__main__ import MADE_OF, sources_digest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
NAMED = re.compile(r"`((?:bridge|tables|streams|tests|ops|docs|scripts|benchmarks|examples|reference)/[\w./*-]*)`")
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TEST = re.compile(r"^(async )?def test_|^Test\w+ = ", re.MULTILINE)
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
LINKED = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    named = {each for each in NAMED.findall(text) if not any(ROOT.glob(each.rstrip("/")))}
    linked = {each for each in LINKED.findall(CODE.sub("", text)) if not (page.parent / each).exists()}
    assert not named | linked


def test_the_pages_name_something() -> None:
    assert sum(len(NAMED.findall(page.read_text())) for page in PAGES) > 50


def test_every_question_is_answered_with_tests_that_are_there() -> None:
    answers = (ROOT / "docs/answers.md").read_text().split("\n## ")[1:]
    assert [int(answer.partition(".")[0]) for answer in answers] == list(range(1, 16))
    for answer in answers:
        shown = [each for each in NAMED.findall(answer.partition("Shown by ")[2]) if each.startswith("tests/")]
        assert shown, answer
        empty = [each for each in shown if not TEST.search((ROOT / each).read_text())]
        assert not empty, answer


def test_every_question_has_a_test_that_shows_the_main_thing() -> None:
    """By name: a file may stay when the test is gone that it was named for."""
    text = (ROOT / "docs/answers.md").read_text()
    found = NAMED_TEST.findall(text)
    assert len(found) >= 15
    for file, name in found:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{name}"
    for answer in text.split("\n## ")[1:]:
        assert NAMED_TEST.search(answer), answer

        shown = answer.partition("Shown by ")[2]
        assert any(each.startswith("tests/") for each in NAMED.findall(shown)), answer


def test_what_programs_read_is_listed_for_them() -> None:
    linked = {*LINKED.findall((ROOT / "docs/interfaces.md").read_text())}
    schemas = {f"schemas/{each.name}" for each in ROOT.glob("docs/schemas/*.json")}
    assert len(schemas) > 10
    assert schemas | {"openapi.json", "asyncapi.yaml"} <= linked


def test_the_readme_and_the_site_lead_to_what_an_operator_and_an_integrator_need() -> None:
    read_on = (ROOT / "README.md").read_text().partition("## Read on")[2]
    wanted = {"metrics.md", "tracing.md", "runbooks/index.md", "openapi.json", "asyncapi.yaml", "schemas"}
    assert {f"docs/{each}" for each in wanted} <= {*LINKED.findall(read_on)}
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    pages = {str(each.relative_to(ROOT / "docs")) for each in ROOT.glob("docs/**/*.md")}
    assert {page for page in pages if f": {page}\n" not in nav} == set()


def test_readers_of_the_java_example_are_told_how_it_was_tested() -> None:
    assert '-jar", compiler' in (ROOT / "tests/examples/conftest.py").read_text(), "it is not, any more: tell that"
    for file in ("examples/README.md", "examples/java/Produce.java"):
        assert "Eclipse's compiler (`ecj -17`)" in (ROOT / file).read_text()


def test_the_pictures_are_of_the_pages_as_they_are() -> None:
    assert (ROOT / MADE_OF).read_text().strip() == sources_digest(ROOT), "python -m tests.pictures"
