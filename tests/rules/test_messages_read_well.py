"""Whatever somebody is told has a code that is described, names what it is about, and says what helps."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from messages import MAKERS, Hole, Message, Source, Text, sources

from bridge.settings import SettingsError
from reference import told
from reference.codes import described
from streams import findings, remedies
from streams.pages import wording
from streams.pages.wording import _REMEDIES as ON_PAGES
from streams.remedies import REMEDIES

FOUND_MIN: Final = 290
"""So many there are, so that nobody loses them by calling something otherwise."""

BY_CODE: Final = {
    "problem", "_problem", "Problem", "_late", "Contradiction", "_other_total", "Denied", "Rejected", "_UnfitError",
    "envelope._refuse", "BadParameter", "NotReady",
}  # fmt: skip
"""What these make is told with the remedy of its code."""
CHECKS: Final = {"warn", "fail", "joined"}
"""Of the doctor: the code of a check is its name, `system.thing`."""

ABOUT_ONE: Final = {
    ("header_body.py", "half a surrogate pair"): "the reader's error tells a place in no text that the sender knows",
    ("header_body.py", "nests too deep"): "it is about the body of one message, which its announcement names",
    ("limits.py", "series came before the header"): "it stands in the transaction that it is about",
    ("watermarks.py", "the events topic is stamped"): "an installation has one events topic",
    ("redrive.py", "RabbitMQ neither takes nor sends"): "an installation has one RabbitMQ",
    ("access.py", "made for another session"): "the guard says before it which request it is about",
}
"""What names nothing that varies, by file and words, with the reason."""

PASSED_ON: Final = {
    ("findings", "kind"): "a Kind, all of which have a remedy",
    ("_told", "error"): "what BadParameter or NotReady says",
    ("_told", "error.reason.lower().replace(' ', '-')"): "of aiohttp: see the test of HTTP errors",
    ("refused", "problem.get('code', status)"): "what the API answers",
    ("bad_settings", "error"): "what SettingsError says",
}
"""By function and expression: what comes from elsewhere, and where it is looked at."""
ANOTHERS_CODE: Final = re.compile(r".+(\.code|\['code'\])")
ANOTHERS_REMEDY: Final = re.compile(
    r"(?:[\w.\[\]]+\.)?(remedy|remedy_of_answer|helping|advice)\b.*|problem\.get\('remedy'\)"
)
"""A remedy of somebody else's, or a function that has one for everything."""
VARIABLE_OR_OPTION: Final = re.compile(r"BRH_[A-Z]|--[a-z]")


@cache
def told_anywhere() -> list[Message]:
    return [each for source in sources() for each in source.messages()]


def shown(text: Text) -> str:
    return "".join(each if isinstance(each, str) else f"{{{each.source}}}" for each in text)


def is_known(code: str) -> bool:
    """Whether there is something that helps against it."""
    own = {**told.COMMANDS, **told.STACK, **told.UNREADABLE}
    return bool(REMEDIES.get(code) or (code in own and own[code].helps) or code in list(findings.Kind))


def is_passed_on(message: Message, hole: Hole) -> bool:
    """Whether it comes from where it is looked at, too."""
    file = Path(message.place.partition(":")[0]).stem
    made = {message.within, f"{file}.{message.within}"} & {*MAKERS}
    return (hole.parameter and bool(made)) or (message.within, hole.source) in PASSED_ON


def alone(text: Text) -> Hole | None:
    """What is said, where nothing of it stands in the source."""
    return text[0] if len(text) == 1 and isinstance(text[0], Hole) else None


def without_code(message: Message) -> Iterator[str]:
    if message.maker in CHECKS:
        for text in message.said["thing"]:
            name = "".join(each if isinstance(each, str) else "system" for each in text)
            # One that is no text of its own place is a name from a list of names.
            if alone(text) is None and not re.fullmatch(r"[a-z]+\.[a-z-]+", name):
                yield f"{name} is no name of a check"
        return
    if "code" not in message.said and message.maker != "_UnfitError":
        yield "no code"
    for text in message.said.get("code", ()):
        hole = alone(text)
        if hole is not None:
            if not is_passed_on(message, hole) and not ANOTHERS_CODE.fullmatch(hole.source):
                yield f"the code {hole.source} comes from nowhere"
        elif shown(text) not in described():
            yield f"{shown(text)} is not described"


def without_remedy(message: Message) -> Iterator[str]:
    if message.maker in BY_CODE:
        codes = [shown(text) for text in message.said.get("code", ()) if alone(text) is None]
        yield from (f"{code} has no remedy" for code in codes if not REMEDIES.get(code))
    maker = MAKERS[message.maker]
    if "helps" in message.said:
        for text in message.said["helps"]:
            hole = alone(text)
            if hole is not None:
                if not is_passed_on(message, hole) and not ANOTHERS_REMEDY.fullmatch(hole.source):
                    yield f"the remedy {hole.source} comes from nowhere"
            elif not re.fullmatch(r"(?s)\S+ .+[.]", shown(text)):
                yield f"{shown(text)!r} is no sentence that helps"
    elif maker is None or "helps" in maker.signature.split():
        yield "no remedy"
    else:
        codes = [shown(text) for text in message.said.get("code", ()) if alone(text) is None]
        yield from (f"nothing helps against {code}" for code in codes if not is_known(code))


def without_name(message: Message) -> Iterator[str]:
    if any(shown(text).strip() for text in message.said.get("thing", ())):
        return  # it stands before what is said
    for text in message.said.get("says", ()):
        hole, said = alone(text), shown(text)
        if hole is not None and hole.parameter and not is_passed_on(message, hole):
            yield f"{hole.source} comes from callers that are not looked at"
        varies = any(isinstance(each, Hole) and not re.fullmatch("[A-Z_.]+", each.source) for each in text)
        if not varies and not VARIABLE_OR_OPTION.search(said) and reason(message, said) is None:
            yield f"{said!r} names nothing"


def reason(message: Message, said: str) -> str | None:
    """Why it need not name anything."""
    file = Path(message.place.partition(":")[0]).name
    return next((why for (where, words), why in ABOUT_ONE.items() if where == file and words in said), None)


def without_sentence(message: Message) -> Iterator[str]:
    maker = MAKERS[message.maker]
    says = message.said.get("says", [])
    if not says and maker is not None and "says" in maker.signature.split():
        yield "nothing is said"
    for text in says:
        if not shown(text).strip():
            yield "an empty sentence"
        # A code in parentheses follows.
        if message.maker in ("CliError", "StackError", "interrupted", "missing._wrong") and shown(text).endswith("."):
            yield f"{shown(text)!r} ends with a full stop before its code"


LAWS = [without_code, without_remedy, without_name, without_sentence]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_no_message_is(law: object) -> None:
    assert callable(law)
    assert [f"{message.place}: {wrong}" for message in told_anywhere() for wrong in law(message)] == []


def test_all_are_found() -> None:
    found = Counter(message.maker for message in told_anywhere())
    assert found.total() >= FOUND_MIN
    assert {name for name, maker in MAKERS.items() if maker} == {*found}, "nobody makes these any more"


BAD = {
    "without_code": [
        'raise CliError(f"{a} is not there", code="no-such-code", remedy="Look for it.")',
        'warn("Something", f"{a} is wrong", "Mend it now.")',
        'raise CliError(f"{a} is not there", code=invented(), remedy="Look for it.")',
        'problem(404, "nothing-here", "None", f"{a} is not there.")',
    ],
    "without_remedy": [
        'raise CliError(f"{a} is not there", code="no-file", remedy="")',
        'raise CliError(f"{a} is not there", code="no-file", remedy="Hm")',
        'raise StackError(f"{a} is not there", code="no-stack")',
        'fail("kafka.thing", f"{a} is wrong", "")',
        'problem(404, "no-file", "None", f"{a} is not there.")',
        'code = "gap" if a else "no-remedy"\nProblem(code, "Lost", f"{a} is lost.", "await")',
    ],
    "without_name": [
        'raise CliError("Something failed", code="no-file", remedy="Name another one.")',
        'message = "It failed" if a else f"{a} failed"\nraise CliError(message, code="no-file", remedy="Name one.")',
        'message, remedy = "It failed", "Name another one."\nraise CliError(message, code="no-file", remedy=remedy)',
        'raise NotReady("nobody knows")',
        "raise NotReady(a)",
        'raise SettingsError(f"more than {BYTES_MAX}")',
        'interrupted("Interrupted", "Run it again.")',
    ],
    "without_sentence": [
        'raise CliError(f"{a} is gone.", code="no-file", remedy="Name another one.")',
        "raise NotReady()",
        'finding("gap", a, "")',
    ],
}  # fmt: skip


@pytest.mark.parametrize(("law", "source"), [(law, each) for law, several in BAD.items() for each in several])
def test_what_reads_badly_is_seen(law: str, source: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def bad(a):\n" + "".join(f"    {line}\n" for line in source.splitlines()))
    (judge,) = (each for each in LAWS if each.__name__ == law)
    (message,) = Source(file, tmp_path).messages()
    assert [*judge(message)]


@pytest.mark.parametrize("entry", ABOUT_ONE, ids=str)
def test_every_exception_is_needed(entry: tuple[str, str]) -> None:
    found = [
        text
        for message in told_anywhere()
        for text in message.said.get("says", ())
        if message.place.partition(":")[0].endswith(entry[0]) and entry[1] in shown(text)
    ]
    assert found


@pytest.mark.parametrize("entry", PASSED_ON, ids=str)
def test_everything_that_is_passed_on_is(entry: tuple[str, str]) -> None:
    holes = {
        (message.within, piece.source)
        for message in told_anywhere()
        for texts in message.said.values()
        for text in texts
        for piece in text
        if isinstance(piece, Hole)
    }
    assert entry in holes


def test_a_process_ends_with_such_a_message_or_with_a_number() -> None:
    ends = [(place, node) for source in sources() for place, node in source.endings()]
    texts = [ast.unparse(node) for _, node in ends if isinstance(node, ast.JoinedStr)]
    assert texts == ["f'{process}: {error} (bad-settings)\\n{error.remedy}'"]
    assert not [place for place, node in ends if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert SettingsError.remedy


def test_http_errors_that_are_raised_have_a_code_and_a_remedy() -> None:
    raised = {
        node.attr
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and re.fullmatch("HTTP[A-Z].*", node.attr) and hasattr(web, node.attr)
    }
    assert {"HTTPNotFound", "HTTPRequestTimeout", "HTTPSeeOther"} <= raised
    kinds = [kind for name in {*raised, "HTTPMethodNotAllowed"} if (kind := getattr(web, name)).status_code >= 400]
    codes = {web.Response(status=kind.status_code).reason.lower().replace(" ", "-") for kind in kinds}
    assert codes == {"not-found", "method-not-allowed", "request-timeout"}
    assert all(code in told.API and REMEDIES[code] for code in codes)


# --- what helps


def test_something_helps_against_every_code_and_no_remedy_is_left_over() -> None:
    assert {code for code in described() if not is_known(code)} == set()
    assert {*REMEDIES} - described() == set()


@pytest.mark.parametrize(("code", "helps"), REMEDIES.items())
def test_a_remedy_is_a_sentence(code: str, helps: str) -> None:
    assert re.fullmatch(r"[A-Z`].+ .+[.]|[A-Z`].+ .+--series as before[.]", helps), code
    assert "{id}" not in (remedies.remedy(code, "T1") or "{id}")


@pytest.mark.parametrize("kind", findings.Kind)
def test_a_finding_has_a_remedy(kind: findings.Kind) -> None:
    assert findings.remedy(kind, "T1").endswith(".")
    assert "{" not in findings.remedy(kind, "T1")


def test_pages_say_something_else_only_of_what_the_api_answers() -> None:
    # Problems of transactions are shown on pages, in terminals and in events: whoever compares them must not wonder.
    assert {*ON_PAGES} <= {*told.API}
    for code, helps in REMEDIES.items():
        if code not in ON_PAGES:
            assert wording.remedy({"code": code}, "T1") == remedies.remedy(code, "T1"), helps


@pytest.mark.parametrize(("code", "here"), ON_PAGES.items())
def test_what_helps_on_a_page_does_not_contradict_what_helps_elsewhere(code: str, here: str) -> None:
    elsewhere = REMEDIES[code]
    assert here != elsewhere, "say it once"
    variables = re.compile(r"BRH_[A-Z_]+")
    assert {*variables.findall(here)} <= {*variables.findall(elsewhere)}
    assert "Origin" not in here, "nobody sets headers in a browser"
    # A page asks again where a program is told to, and only there.
    waits = re.search(r"[Aa]sk again|Wait as long", elsewhere) is not None
    assert here.startswith("Nothing to do") == waits
    assert waits == told.API[code].means.startswith(("429", "503"))
    # Who is not known logs in where a program sends its token.
    assert ("/login" in here) == told.API[code].means.startswith("401")
