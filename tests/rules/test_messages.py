"""Everything that people are told when something is wrong: each has a code, names the thing, and says what helps."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic_settings import BaseSettings
from test_codes import problem_codes

from bridge.contract.inbound import RejectionCode
from bridge.contract.outbound import OutcomeCode
from bridge.settings import BridgeSettings, SettingsError, load
from streams.cli import COMMANDS, brh
from streams.cli.groups import LazyGroup
from streams.findings import Kind
from streams.findings import remedy as remedy_of_finding
from streams.pages.wording import remedy
from streams.settings import ClientSettings, DeliverySettings, TrackerSettings

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)*")
SENTENCE_END = (".", "?", ".)")
RESTORED_ONLY = {Kind.OUTCOME_MISSING, Kind.TOLD_WITHOUT_OUTCOME, Kind.ORPHANS_MISSING, Kind.RECORD_UNREADABLE}
"""Findings that no command mends: somebody has to bring a document back."""
EXAMINERS = (
    "streams/doctor",
    "streams/cli/doctor",
    "bridge/broker_check",
    "bridge/storage_check",
    "bridge/surroundings",
)
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands in a text for what is only known when the code runs."""


class Said(NamedTuple):
    """An error that the code makes: its texts, with `UNKNOWN` in place of values."""

    where: str
    message: list[str]
    code: list[str]
    remedy: list[str]


class Scope(ast.NodeVisitor):
    """What names stand for in a function: texts that are assigned to them, alone or with others."""

    def __init__(self, function: ast.AST) -> None:
        self.values: dict[str, list[ast.expr]] = {}
        self.visit(function)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.values.setdefault(target.id, []).append(node.value)
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for name, value in zip(target.elts, node.value.elts, strict=True):
                    if isinstance(name, ast.Name):
                        self.values.setdefault(name.id, []).append(value)

    def texts(self, node: ast.expr | None) -> list[str]:
        """Every text that an expression may be."""
        match node:
            case None:
                return []
            case ast.Constant():
                return [str(node.value)]
            case ast.JoinedStr():
                return ["".join(each.value if isinstance(each, ast.Constant) else UNKNOWN for each in node.values)]
            case ast.IfExp():
                return [*self.texts(node.body), *self.texts(node.orelse)]
            case ast.Name() if node.id in self.values:
                return [text for value in self.values[node.id] for text in self.texts(value)]
            case ast.BinOp(op=ast.Add()):
                pairs = ((one, other) for one in self.texts(node.left) for other in self.texts(node.right))
                return [one + other for one, other in pairs]
            case _:
                return [UNKNOWN]


def calls(*names: str) -> Iterator[tuple[str, ast.Call, Scope]]:
    """Where something of these names is called in our sources, and what the names around it stand for."""
    for file in sorted(file for room in ("bridge", "tables", "streams") for file in (ROOT / room).rglob("*.py")):
        tree = ast.parse(file.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            scope = Scope(function)
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node, scope


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def errors() -> list[Said]:
    """The errors that end a command."""
    return [
        Said(
            where,
            scope.texts(call.args[0]),
            scope.texts(keyword(call, "code")),
            scope.texts(keyword(call, "remedy")),
        )
        for where, call, scope in calls("CliError", "StackError")
    ]


@pytest.mark.parametrize("said", errors(), ids=lambda said: said.where)
def test_an_error_of_the_command_line_has_a_code_names_the_thing_and_says_what_helps(said: Said) -> None:
    assert said.message
    assert said.code
    assert said.remedy, "nothing says what helps"
    for message in said.message:
        assert UNKNOWN in message or re.search(r"Kafka|RabbitMQ|[Ss]torage|BRH_|127\.0\.0\.1", message), (
            f"names nothing: {message}"
        )
        assert not message.endswith("."), "the code stands behind it"
    for code in said.code:
        assert code == UNKNOWN or CODE.fullmatch(code), code
    for text in said.remedy:
        assert text == UNKNOWN or text.endswith((*SENTENCE_END, UNKNOWN, ")")), f"no sentence: {text}"
        assert len(text) >= len("Try again.") or UNKNOWN in text


def test_errors_were_found() -> None:
    assert len(errors()) > 60
    assert len({code for said in errors() for code in said.code}) > 40


@pytest.mark.parametrize(
    ("where", "message"),
    [(where, text) for where, call, scope in calls("SettingsError") for text in scope.texts(call.args[0])],
)
def test_wrong_settings_name_the_variable_or_the_command_that_helps(where: str, message: str) -> None:
    # What `load` joins begins with the variable of each; what the types file joins is behind its own.
    assert re.search(rf"BRH_[A-Z_{UNKNOWN}]+|brh setup|LogAppendTime", message) or message == UNKNOWN, where


@pytest.mark.parametrize("kind", [BridgeSettings, TrackerSettings, DeliverySettings, ClientSettings])
def test_each_setting_that_is_wrong_is_named_by_its_variable(
    kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = [name for name, field in kind.model_fields.items() if field.annotation in (int, float) or field.metadata]
    assert len(bounded) > 3
    for name in bounded:
        monkeypatch.setenv(f"BRH_{name.upper()}", "\x01 wrong \x02")
        with pytest.raises(SettingsError) as caught:
            load(kind)
        assert f"BRH_{name.upper()}: " in str(caught.value)
        monkeypatch.delenv(f"BRH_{name.upper()}")


@pytest.mark.parametrize("code", sorted({*problem_codes(), *map(str, OutcomeCode), *map(str, RejectionCode)}))
def test_for_every_code_of_a_problem_it_is_known_what_helps(code: str) -> None:
    said = remedy({"code": code}, "T1")
    assert said is not None, "see streams/remedies.py, or streams/pages/wording.py"
    assert said.endswith(".")
    assert said[0].isupper() or said[0] == "`"
    assert "{" not in said


@pytest.mark.parametrize("code", ["not-found", "method-not-allowed", "token-missing", "token-wrong", "internal-error"])
def test_so_it_is_of_what_every_server_says(code: str) -> None:
    assert remedy({"code": code})


def problems() -> Iterator[tuple[str, list[Any]]]:
    for where, call, scope in calls("Problem", "_problem", "problem"):
        if len(call.args) >= 3 or keyword(call, "title") is not None:
            status = isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, int) if call.args else 0
            title = keyword(call, "title") or call.args[2 if status else 1]
            detail = keyword(call, "detail") or call.args[3 if status else 2]
            yield where, [scope.texts(title), scope.texts(detail)]


@pytest.mark.parametrize(("where", "texts"), [*problems()])
def test_a_problem_has_a_title_and_a_detail(where: str, texts: list[list[str]]) -> None:
    for text in (each for several in texts for each in several):
        assert text, where
        assert text == UNKNOWN or text[0].isupper() or text[0] == UNKNOWN, text


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        (where, text)
        for where, call, scope in calls("Rejected", "_UnfitError")
        for text in scope.texts(call.args[0 if getattr(call.func, "id", "") == "_UnfitError" else 1])
    ],
)
def test_a_rejection_says_what_was_found_and_what_is_expected(where: str, reason: str) -> None:
    # What is unknown here is the sentence of msgspec, which says what it expected, or of a newer release's record.
    assert reason.endswith(UNKNOWN) or "expected" in reason or "the message says" in reason, where


@pytest.mark.parametrize("kind", Kind)
def test_every_finding_of_fsck_says_what_helps(kind: Kind) -> None:
    assert remedy_of_finding(kind, "T1").endswith(".")


@pytest.mark.parametrize("kind", Kind)
def test_every_finding_of_fsck_names_a_command_that_there_is_unless_none_can_mend_it(kind: Kind) -> None:
    named = re.findall(r"`brh ([a-z]+)([^`]*)`", remedy_of_finding(kind, "T1"))
    assert bool(named) == (kind not in RESTORED_ONLY), "name the command, or say that there is none"
    for name, rest in named:
        assert name in COMMANDS
        assert isinstance(brh, LazyGroup)
        words = rest.split()
        options = {option for each in brh.load(name).params for option in each.opts}
        assert {word for word in words if word.startswith("-")} <= options
        assert [word for word in words if not word.startswith("-")] in ([], ["T1"]), "with the transaction filled in"


def test_a_document_that_has_gone_is_to_be_restored() -> None:
    for kind in RESTORED_ONLY:
        assert "soft delete, a version or a backup" in remedy_of_finding(kind, "T1")


@pytest.mark.parametrize(
    ("where", "remedies"),
    [
        (where, scope.texts(keyword(call, "remedy") or (call.args[2] if len(call.args) > 2 else None)))
        for where, call, scope in calls("fail", "warn")
        if where.startswith(EXAMINERS)
    ],
)
def test_every_check_of_the_doctor_that_is_not_ok_says_what_helps(where: str, remedies: list[str]) -> None:
    assert remedies
    for text in remedies:
        assert text == UNKNOWN or text.endswith((*SENTENCE_END, UNKNOWN)), text
