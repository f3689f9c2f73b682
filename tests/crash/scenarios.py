"""By name: the kind of installation, and what to do there, so that each crash point is passed, most of them thrice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tests.crash import provoked, results
from tests.crash.acts import Act

Scenario = Callable[[Act], Awaitable[None]]

_PLAYED: Final[dict[str, tuple[Scenario, ...]]] = {
    "plain": (
        results.results,
        results.refusals,
        results.conflicts,
        results.orphans,
        results.unclear,
        results.commands,
        provoked.unreadable,
        provoked.silence,
        provoked.restarts,
        provoked.cuts,
        provoked.renewals,
    ),
    "hasty": (results.lateness, provoked.forgetting),
    "sweeping": (provoked.sweeping,),
    "aged": (provoked.expiry,),
}

SCENARIOS: Final[dict[str, tuple[str, Scenario]]] = {
    each.__name__: (site, each) for site, of_site in _PLAYED.items() for each in of_site
}
