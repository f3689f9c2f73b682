"""Addresses to listen on: anywhere where nothing is given away, and an address it has to be."""

from __future__ import annotations

import pytest

from bridge.settings import BridgeSettings, SettingsError, load
from streams.settings import DeliverySettings, TrackerSettings

KINDS = [(BridgeSettings, "bridge_bind"), (DeliverySettings, "delivery_bind")]


@pytest.mark.parametrize(("kind", "name"), KINDS)
@pytest.mark.parametrize("bind", ["0.0.0.0:6068", "[::]:6068", "10.1.2.3:80", "localhost:1"])
def test_metrics_may_be_read_from_another_machine(
    kind: type[BridgeSettings | DeliverySettings], name: str, bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"BRH_{name.upper()}", bind)
    assert getattr(load(kind), name) == bind


@pytest.mark.parametrize(("kind", "name"), KINDS)
@pytest.mark.parametrize("bind", ["", "6068", "0.0.0.0", "0.0.0.0:0", "0.0.0.0:65536", "0.0.0.0:x"])
def test_what_is_no_address_is_refused_by_name(
    kind: type[BridgeSettings | DeliverySettings], name: str, bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"BRH_{name.upper()}", bind)
    with pytest.raises(SettingsError, match=f"BRH_{name.upper()}: .*HOST:PORT"):
        load(kind)


def test_the_api_without_tokens_keeps_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_API_BIND", "0.0.0.0:6066")
    with pytest.raises(SettingsError, match="loopback"):
        load(TrackerSettings)
