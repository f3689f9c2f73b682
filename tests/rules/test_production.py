"""BRH_PROFILE=production: every refusal names its variable, and no value of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import BridgeSettings, SettingsError, load
from streams.settings import ClientSettings, DeliverySettings, TrackerSettings

GOOD = {
    "BRH_PROFILE": "production",
    "BRH_AMQP_URL": "amqps://bridge:s3cret@rabbit.example/",
    "BRH_RABBITMQ_MANAGEMENT_URL": "https://bridge:s3cret@rabbit.example:15671",
    "BRH_KAFKA_BOOTSTRAP": "kafka-1.example:9093,kafka-2.example:9093",
    "BRH_KAFKA_SECURITY_PROTOCOL": "SSL",
    "BRH_REPLICATION_FACTOR": "3",
    "BRH_BLOB_ACCOUNT_URL": "https://results.blob.core.windows.net",
}
EMULATOR = "DefaultEndpointsProtocol=https;AccountName=devstoreaccount1;AccountKey=s3cret"
WRONG = [
    ("BRH_AMQP_URL", "amqp://bridge:s3cret@rabbit.example/", "amqps://"),
    ("BRH_AMQP_URL", "amqps://bridge:s3cret@rabbit.example/?no_verify_ssl=1", "no_verify_ssl"),
    ("BRH_AMQP_URL", "amqps://bridge:s3cret@rabbit.example/?no_verify_ssl=", "no_verify_ssl"),
    ("BRH_AMQP_URL", "amqps://bridge:s3cret@rabbit.example/?no%5fverify_ssl=0&no_verify_ssl=1", "no_verify_ssl"),
    ("BRH_AMQP_URL", "amqps://guest:s3cret@rabbit.example/", "guest"),
    ("BRH_AMQP_URL", "amqps://rabbit.example/", "guest"),
    ("BRH_RABBITMQ_MANAGEMENT_URL", "http://bridge:s3cret@rabbit.example", "https://"),
    ("BRH_RABBITMQ_MANAGEMENT_URL", "https://guest:s3cret@rabbit.example", "guest"),
    ("BRH_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", "SASL_SSL"),
    ("BRH_KAFKA_SECURITY_TOKEN_URL", "http://id.example/token", "https://"),
    ("BRH_REPLICATION_FACTOR", "1", "at least 2"),
    ("BRH_BLOB_ACCOUNT_URL", "http://results.blob.core.windows.net", "https://"),
    ("BRH_BLOB_CONNECTION_STRING", EMULATOR, "emulator"),
    ("BRH_BLOB_CONNECTION_STRING", "UseDevelopmentStorage=true", "emulator"),
    ("BRH_BLOB_CONNECTION_STRING", "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=s3cret", "https"),
    ("BRH_BLOB_CONNECTION_STRING", "BlobEndpoint=http://a.example;AccountName=a;AccountKey=s3cret", "https"),
]


@pytest.fixture(autouse=True)
def _good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BRH_BLOB_CONNECTION_STRING", raising=False)


@pytest.mark.parametrize("process", [BridgeSettings, TrackerSettings, DeliverySettings, ClientSettings])
def test_every_process_takes_what_is_fit_for_production(process: type[BridgeSettings]) -> None:
    assert load(process).profile == "production"


@pytest.mark.parametrize(("variable", "value", "said"), WRONG)
def test_what_is_refused_in_production_is_taken_in_development(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load(BridgeSettings)
    assert str(refused.value).startswith(f"{variable}: ")
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert str(refused.value).count("BRH_") == 1
    monkeypatch.delenv("BRH_PROFILE")
    assert load(BridgeSettings).profile == "development"


@pytest.mark.parametrize("profile", ["production", "development"])
@pytest.mark.parametrize("variable", ["BRH_AMQP_URL", "BRH_RABBITMQ_MANAGEMENT_URL"])
@pytest.mark.parametrize(
    "url", ["amqps://u:s3cret\uff20host/", "amqps://u:s3cret@[host", "amqps://u:s3cret@host:70000/"]
)
def test_what_is_no_url_is_refused_before_a_library_can_quote_it(
    profile: str, variable: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRH_PROFILE", profile)
    monkeypatch.setenv(variable, url)
    for process in (BridgeSettings, ClientSettings):
        with pytest.raises(SettingsError, match=f"^{variable}: Value error, is no URL$"):
            load(process)


def test_one_error_names_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value, _ in WRONG:
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load(BridgeSettings)
    assert all(variable in str(refused.value) for variable, _, _ in WRONG)


def test_production_serves_nobody_without_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_API_BIND", "0.0.0.0:6066")
    monkeypatch.delenv("BRH_API_READ_TOKEN", raising=False)
    monkeypatch.delenv("BRH_API_OPERATE_TOKEN", raising=False)
    with pytest.raises(SettingsError, match="BRH_API_BIND"):
        load(TrackerSettings)
