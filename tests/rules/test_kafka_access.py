"""Arguments of Kafka's clients: what is missing or no certificate is named before anybody connects."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge.kafka_access import client_options
from bridge.settings import BridgeSettings, SettingsError, load


def test_by_default_nothing_is_encrypted_and_nobody_logs_in() -> None:
    options = client_options(BridgeSettings())
    assert options == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


def test_certificates_and_names_are_verified() -> None:
    context = client_options(BridgeSettings(kafka_security_protocol="SSL"))["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


def test_a_password_is_given_to_the_client_and_shown_nowhere() -> None:
    settings = BridgeSettings(
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_security_user="me",
        kafka_security_password=SecretStr("s3cret"),
    )
    options = client_options(settings)
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "me")
    assert options["sasl_plain_password"] == "s3cret"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PROTOCOL": "SASL_SSL"}, "BRH_KAFKA_SECURITY_PASSWORD"),
        ({"PROTOCOL": "SASL_SSL", "PASSWORD": "s3cret"}, "BRH_KAFKA_SECURITY_USER"),
        ({"PROTOCOL": "TLS"}, "BRH_KAFKA_SECURITY_PROTOCOL"),
        ({"MECHANISM": "GSSAPI"}, "BRH_KAFKA_SECURITY_MECHANISM"),
    ],
)
def test_what_does_not_go_together_is_named(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in given.items():
        monkeypatch.setenv(f"BRH_KAFKA_SECURITY_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load(BridgeSettings)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
@pytest.mark.parametrize("variable", ["ca_file", "cert_file"])
def test_a_file_that_is_no_certificate_is_named(variable: str, content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    settings = BridgeSettings(kafka_security_protocol="SSL", **{f"kafka_security_{variable}": file})
    with pytest.raises(SettingsError, match=f"BRH_KAFKA_SECURITY_{variable.upper()}"):
        client_options(settings)
