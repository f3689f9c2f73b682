"""This installation: its packages, and who may ask its trackers. Pure, but for `packages`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from typing import Any, Final

from yarl import URL

from bridge.binds import is_loopback
from bridge.check import Check, fail, ok, warn
from streams.settings import ClientSettings

DISTRIBUTION: Final = "big-result-handler"
PACKAGES: Final = ("bridge", "tables", "streams")


def packages(found: Mapping[str, list[str]] | None = None) -> Check:
    """Whether our import names are only ours: `tables` is also what PyTables is imported as."""
    distributions = packages_distributions() if found is None else found
    foreign = {
        f"{name} is also {other}'s"
        for name in PACKAGES
        for other in distributions.get(name, [])
        if other.lower().replace("_", "-") != DISTRIBUTION
    }
    if foreign:
        remedy = "Remove the other package: whichever is found first is imported."
        return fail("here.packages", "; ".join(sorted(foreign)), remedy)
    return ok("here.packages", f"{', '.join(PACKAGES)} are ours")


def same_version(theirs: Mapping[str, Any]) -> Check:
    """Of what runs and what asks."""
    ours = version(DISTRIBUTION)
    if (other := theirs.get("version")) != ours:
        remedy = "Use the same release everywhere, or upgrade one kind of process after the other."
        return warn("trackers.version", f"a tracker has {other}, this command {ours}", remedy)
    return ok("trackers.version", f"{ours}, as here")


def tokens(settings: ClientSettings) -> Check:
    """Whether those who ask need to show who they are."""
    if settings.api_read_token or settings.api_operate_token:
        return ok("trackers.tokens", "a token is sent")
    if is_loopback(URL(settings.api_url).host or ""):
        detail = "none is sent: a tracker without tokens lets whoever is on its machine do everything"
        return warn("trackers.tokens", detail, "Set BRH_API_READ_TOKEN and BRH_API_OPERATE_TOKEN outside development.")
    return ok("trackers.tokens", "none is sent")
