"""What must hold when nothing goes wrong any more, and everything has come to its end."""

from __future__ import annotations

from tests.sim.checks import Checks
from tests.sim.installation import Installation
from tests.sim.plans import Plan
from tests.sim.tracker import Tracker


def at_rest(checks: Checks, installation: Installation) -> None:
    """Raises Violation."""
    world = checks.world
    for plan in checks.plans.values():
        if plan.id in checks.heard:
            _ended(checks, plan)
        for sent in plan.sent:
            settled = sent.acked + sent.rejected
            what = f"{sent.series}/{sent.ordinal} of {plan.id}"
            world.require(settled == sent.copies, "I4", f"{sent.copies} copies of {what}, {settled} settled")
    world.require(not (left := checks.left_over()), "I13", f"left over of closed transactions: {left}")
    for tracker in installation.running("tracker"):
        if isinstance(tracker, Tracker) and tracker.flowing:
            _shown(checks, tracker)


def _shown(checks: Checks, tracker: Tracker) -> None:
    """I2: what is shown of a transaction is its outcome; one that is forgotten is not shown."""
    for name, row in tracker.shown.items():
        outcome = checks.outcomes.get(name)
        if outcome is not None and name in checks.delivered:
            shown, known = row["state"], outcome.outcome
            checks.world.require(shown == known, "I2", f"{name} is {known}, {tracker.name} shows {shown}")


def _ended(checks: Checks, plan: Plan) -> None:
    """I5, I10: there is an outcome, it was told, and a transaction that nothing is wrong with is Completed."""
    world, name = checks.world, plan.id
    world.require(name in checks.outcomes, "I10", f"{name} has no outcome")
    world.require(name in checks.told, "I5", f"{name} was never told")
    outcome, told = checks.outcomes[name], checks.heard[name]
    if outcome.outcome == "Completed" or checks.results.excused:
        return
    contradiction = bool(told.contradictions) or "cancel" in told.commands or bool(plan.never)
    code = outcome.problem.code if outcome.problem else ""
    late = code in ("no-header", "timeout", "completion-timeout")  # which was looked at when it was decided
    world.require(contradiction or late, "I10", f"nothing was wrong with {name}, and it is {outcome.outcome} ({code})")
