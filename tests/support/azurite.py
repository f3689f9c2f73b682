"""Plugin: where the emulator is. Others start it; a fixture of the same name in a conftest takes precedence."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def blob_connection_string() -> str:
    value = os.environ.get("BRH_BLOB_CONNECTION_STRING")
    if not value:
        pytest.fail("BRH_BLOB_CONNECTION_STRING is not set: start the emulator with `brh stack up` and set it")
    return value
