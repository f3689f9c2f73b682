"""The model of a transaction holds whatever dies or freezes, and every mistake in it breaks the law that is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.model.search import MODEL, search

pytestmark = pytest.mark.timeout(600)  # of seconds on a machine that has time

FOUND = {
    # mistake: scenario in which it shows, law that it breaks
    "BRIDGE_ACKS_EARLY": ("PATIENT", "everything is decided"),
    "BRIDGE_PUBLISHES_EARLY": ("PATIENT", "what was accepted is there until an outcome lets it go"),
    "OFFSET_BEFORE_ROWS": ("PATIENT", "a closed transaction is known as such"),
    "ONE_ROW_REWRITTEN": ("PATIENT", "a closed transaction is known as such"),
    "ASKED_ONCE": ("PATIENT", "everything is decided"),
    "OUTCOME_UNCONDITIONAL": ("IMPATIENT", "an outcome never changes"),
    "OUTCOME_BEFORE_COMMIT": ("PATIENT", "a completed result can be read"),
    "TELLS_ITS_OWN_VERDICT": ("IMPATIENT", "what is told is what is written"),
    "TELLS_BEFORE_OUTCOME": ("PATIENT", "what is told is what is written"),
    "MARKED_BEFORE_TOLD": ("PATIENT", "somebody was told"),
    "CLEANED_BEFORE_OUTCOME": ("IMPATIENT", "what was accepted is there until an outcome lets it go"),
    "CLEANED_WITHOUT_FENCE": ("LATE", "what belongs to no outcome is gone"),
    "NEVER_SWEPT": ("LATE", "what belongs to no outcome is gone"),
    "RESULT_REMOVED_EARLY": ("LATE", "one verdict is told"),
}

HEALED = {
    # mistake: the layer that heals it, what breaks without that layer
    "DELIVERY_ACKS_EARLY": ("ASKED_ONCE", "a closed transaction is known as such"),
    "OUTCOME_MEANS_TOLD": ("NEVER_SWEPT", "somebody was told"),
    "CLOSED_BEFORE_TOLD": ("NEVER_SWEPT", "somebody was told"),
}


def test_every_law_holds_and_every_step_is_taken(tmp_path: Path) -> None:
    found = search(tmp_path)
    assert found.broken is None, found.way
    assert found.states > 1_000_000
    # A record is not taken by a zombie here, so what `leave` does within `take` is never done.
    assert {step.partition(" = ")[0] for step in found.unreached} <= {
        "known", "verdict", "read", "writing", "asking", "fact", "closed"
    }  # fmt: skip


@pytest.mark.parametrize("mistake", FOUND)
def test_a_mistake_breaks_its_law(tmp_path: Path, mistake: str) -> None:
    scenario, law = FOUND[mistake]
    assert search(tmp_path, optimize=0, MUTANT=mistake, SCENARIO=scenario).broken == law


@pytest.mark.parametrize("mistake", HEALED)
def test_a_mistake_is_healed_by_another_layer_and_only_by_that(tmp_path: Path, mistake: str) -> None:
    layer, law = HEALED[mistake]
    with_both, without = tmp_path / "with", tmp_path / "without"
    with_both.mkdir()
    without.mkdir()
    assert search(with_both, optimize=0, MUTANT=mistake, SCENARIO="CRASH_ONLY").broken is None
    assert search(without, optimize=0, MUTANT=mistake, BESIDES=layer, SCENARIO="CRASH_ONLY").broken == law


def test_every_mistake_of_the_model_is_tried() -> None:
    named = re.findall(r"#if !?IS\((\w+)\)|\|\| IS\((\w+)\)", MODEL.read_text())
    assert {one or other for one, other in named} == FOUND.keys() | HEALED.keys()


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_every_law_holds_when_everything_happens_together(tmp_path: Path) -> None:
    found = search(tmp_path, SCENARIO="EVERYTHING")
    assert found.broken is None, found.way
