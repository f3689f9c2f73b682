"""Draws the transition table of `tables.rules` into docs/architecture.md: `python -m tests.support.states`."""

from __future__ import annotations

from pathlib import Path

from tables.rules import TRANSITIONS
from tables.transaction import FINAL, State

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN = "<!-- drawn by `python -m tests.support.states` -->\n"
END = "<!-- end of the drawing -->\n"


def diagram() -> str:
    """A Mermaid state diagram; facts that leave the state as it is are not drawn."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.AWAITING_RESULTS}"]
    for before, by_fact in TRANSITIONS.items():
        for after in State:
            facts = sorted(fact.__name__ for fact, states in by_fact.items() if after in states)
            if after is not before and facts:
                lines.append(f"    {before} --> {after}: {', '.join(facts)}")
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(["```mermaid", *lines, "```"]) + "\n"


def drawn(page: str) -> str:
    """The page with the current diagram. Raises ValueError when it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the diagram: {BEGIN.strip()} … {END.strip()}")
    return before + begin + diagram() + end + after


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
