"""What a process looks at around itself when it starts: a short `brh doctor` of what it needs itself.

What does not suit shows late, and as something else: as lost connections, as rows that vanish, as notifications that
nobody takes. So it is said at the start, a line each. In production what is wrong refuses the start instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import chain
from typing import Final

import structlog
from mode import Service

from bridge.check import Check, warn

_log = structlog.get_logger()

LOOK_MAX_S: Final = 10.0
"""For all of it: systems are asked side by side."""

Look = Callable[[], Awaitable[Iterable[Check]]]
"""Asks a system, and judges its answers."""


async def look_around(service: Service, *, profile: str, looks: Mapping[str, Look]) -> str:
    """Look at systems, by name. Returns why the start is refused; empty when it is not.

    Only production refuses, and so only production waits. Elsewhere it is looked beside the start of the service:
    whoever does not answer delays nobody.
    """
    if profile == "production":
        return await looked(looks, refuse=True)
    service.add_future(looked(looks, refuse=False))
    return ""


async def looked(looks: Mapping[str, Look], *, refuse: bool) -> str:
    """Log what does not suit, and return what refuses the start as a sentence.

    What could not be asked is a warning: a system that is away, slow or closed to us is waited for by others.
    """
    found = chain.from_iterable(await asyncio.gather(*(_looked(system, look) for system, look in looks.items())))
    wrong = [check for check in found if check.status != "ok"]
    refused = [check for check in wrong if refuse and check.status == "fail"]
    for check in wrong:
        if check not in refused:
            _log.warning("surroundings do not suit", check=check.name, found=check.detail, remedy=check.remedy)
    _log.info("surroundings were checked", unsuitable=len(wrong))
    if not refused:
        return ""
    said = "; ".join(f"{check.name}: {check.detail}. {check.remedy}" for check in refused)
    return f"BRH_PROFILE=production refuses to start with what is there: {said}"


async def _looked(system: str, look: Look) -> list[Check]:
    try:
        async with asyncio.timeout(LOOK_MAX_S):
            return list(await look())
    except Exception as error:  # whatever a client raises: a look must not be what keeps a process from starting
        # Not the error's own text, which may quote an address with its password.
        detail = f"{system} could not be asked whether it suits: {type(error).__name__}"
        return [warn(f"{system.lower()}.asked", detail, "Ask `brh doctor` when it answers.")]
