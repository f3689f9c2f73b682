"""`python -m bridge`: one bridge process. SIGTERM and SIGINT drain it."""

from __future__ import annotations

import sys

from mode import Worker

from bridge.logs import configure_logs
from bridge.service import Bridge
from bridge.settings import BridgeSettings, SettingsError, load


def main() -> None:
    """Run a bridge until a signal or a failure ends it."""
    try:
        settings = load(BridgeSettings)
        worker = Worker(Bridge(settings), loglevel="INFO", logfile=sys.stderr, redirect_stdouts=False)
    except SettingsError as error:
        raise SystemExit(f"bridge: {error} (bad-settings)") from None
    configure_logs()
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
