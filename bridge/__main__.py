"""`python -m bridge`: one bridge process. SIGTERM and SIGINT drain it."""

from __future__ import annotations

import gc
from typing import Final

from bridge import lean  # noqa: F401  # before structlog
from bridge.logs import configure_logs, refuse
from bridge.process import Process
from bridge.service import Bridge, bridge_name
from bridge.settings import BridgeSettings, SettingsError, load

COLLECT_AFTER: Final = 20_000
"""Objects that are made before Python looks for cycles again; by itself it looks after 700. A bridge has up to 65,000
small payloads in hand, none of them in a cycle, and looking at all of them again and again was 23 us of the 57 us that
each one cost; now it is 5. With more there would be less of it, and more cycles that wait in memory."""


def main() -> None:
    """Run a bridge until a signal or a failure ends it."""
    try:
        settings = load(BridgeSettings)
        configure_logs(settings, "bridge", bridge_name(settings))
        worker = Process(Bridge(settings))
    except SettingsError as error:
        refuse("bridge", error)
    gc.collect()
    gc.freeze()  # what was imported stays, and need not be looked at
    gc.set_threshold(COLLECT_AFTER, 20, 50)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
