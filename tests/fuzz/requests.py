"""What people and programs ask of the API."""

from __future__ import annotations

from typing import Final

from bridge.contract import events
from bridge.contract.events import Command
from bridge.durations import duration_text, limit_s
from streams.commands import ACTIONS, Asked, parse
from streams.queries import BadParameter
from tests.fuzz.target import Target
from tests.golden.release_0_1_0 import MOMENT


def read_command(data: bytes) -> None:
    """The first byte says what is asked for, the next one where the user's name ends and the body begins."""
    if len(data) < 2:
        return
    action, name_bytes = ACTIONS[data[0] % len(ACTIONS)], data[1]
    user, body = data[2 : 2 + name_bytes].decode("latin-1"), data[2 + name_bytes :]
    for content_type in ("application/json", ""):
        try:
            command = parse("T1", Asked(action, body, content_type, user[:70] or None, user), MOMENT, lambda: "id")
        except BadParameter as error:
            said = str(error)
        else:
            said = ""
            _check(command)
        assert said.isascii()
        assert len(said) < 1_000


def _check(command: Command) -> None:
    assert events.decode(events.encode(command)) == command
    assert command.by.isascii()
    assert command.action != "extend" or 1 <= command.extend_s <= 6 * 86_400


def read_limit(data: bytes) -> None:
    """A duration, as headers, commands and the types file write it."""
    text = data.decode("latin-1")
    seconds = limit_s(text)
    if seconds is not None:
        assert 1 <= seconds <= 6 * 86_400
        again = limit_s(duration_text(seconds))
        assert again is not None
        assert abs(again - seconds) <= 0.000_5


_COMMANDS: Final = (b'\x02\x02me{"by":"PT1H"}', b"\x00\x00", b"\x01\x00{}", b'\x02\x00{"by":"P7D"}')
_DURATIONS: Final = (b"PT10M", b"P6D", b"P1DT2H3M4.5S", b"PT1,5S", b"P7D")

TARGETS: Final = (
    Target("command", read_command, lambda: _COMMANDS, tokens=(b'"by"', b"PT1H", b"P6D")),
    Target("duration", read_limit, lambda: _DURATIONS, tokens=(b"P", b"T", b"S")),
)
