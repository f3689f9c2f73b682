"""An AMQP URL says where and who, as the other AMQP library of the process reads it; a wrong one is never quoted."""

from __future__ import annotations

import ssl
import subprocess
import traceback
from pathlib import Path

import aiormq
import pytest
from pydantic import SecretStr

from bridge.amqp_address import HEARTBEAT_MAX_S, AmqpAddress
from bridge.settings import SettingsError


def parse(url: str) -> AmqpAddress:
    return AmqpAddress.parse(SecretStr(url))


@pytest.mark.parametrize(
    ("path", "vhost"),
    [
        ("", "/"),
        ("/", "/"),
        ("/%2F", "/"),
        ("/%2f", "/"),
        ("//", "/"),
        ("/brh", "brh"),
        ("/a%2Fb", "a/b"),
        ("/a/b", "a/b"),
        ("/a%20b", "a b"),
        ("/%C3%A4", "ä"),
        ("/brh?heartbeat=5", "brh"),
        ("?heartbeat=5", "/"),
    ],
)
async def test_the_path_is_the_virtual_host(path: str, vhost: str) -> None:
    assert parse(f"amqp://host{path}").vhost == vhost
    assert aiormq.Connection(f"amqp://host{path}").vhost == vhost


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("amqp://broker", "broker", 5672),
        ("amqps://broker", "broker", 5671),
        ("amqp://broker:1234", "broker", 1234),
        ("amqp://[::1]:1234/", "::1", 1234),
        ("AMQP://broker", "broker", 5672),
    ],
)
def test_the_port_follows_from_the_scheme_unless_it_is_named(url: str, host: str, port: int) -> None:
    address = parse(url)
    assert (address.host, address.port) == (host, port)


@pytest.mark.parametrize(
    ("login", "response"),
    [
        ("", "\0guest\0guest"),
        ("me:secret@", "\0me\0secret"),
        ("me%40home:p%3A%2F%40%25@", "\0me@home\0p:/@%"),
        ("me@", "\0me\0guest"),
    ],
)
def test_without_another_word_one_logs_in_with_name_and_password(login: str, response: str) -> None:
    address = parse(f"amqp://{login}host/")
    assert (address.mechanism, address.response.get_secret_value()) == ("PLAIN", response)


@pytest.mark.parametrize("auth", ["external", "EXTERNAL"])
def test_with_a_certificate_one_logs_in_without_a_password(auth: str) -> None:
    address = parse(f"amqps://me:secret@host/?auth={auth}")
    assert (address.mechanism, address.response.get_secret_value()) == ("EXTERNAL", "")


@pytest.mark.parametrize(("query", "heartbeat_s"), [("", 20), ("?heartbeat=0", 0), ("?heartbeat=3600", 3_600)])
def test_heartbeats_are_wished_for_in_seconds(query: str, heartbeat_s: int) -> None:
    assert parse(f"amqp://host/{query}").heartbeat_s == heartbeat_s


def test_without_tls_there_is_no_context() -> None:
    assert parse("amqp://host/?cafile=ignored").tls is None


def test_tls_verifies_the_broker_unless_told_otherwise() -> None:
    careful, careless = parse("amqps://host/?no_verify_ssl=0").tls, parse("amqps://host/?no_verify_ssl=1").tls
    assert careful is not None
    assert careless is not None
    assert (careful.verify_mode, careful.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (careless.verify_mode, careless.check_hostname) == (ssl.CERT_NONE, False)


def test_certificates_are_read_from_the_files_that_are_named(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    new_key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        ["openssl", *new_key, "-keyout", key, "-out", certificate, "-subj", "/CN=us"], check=True, capture_output=True
    )
    tls = parse(f"amqps://host/?cafile={certificate}&certfile={certificate}&keyfile={key}").tls
    assert tls is not None
    assert [dict(name[0] for name in each["subject"])["commonName"] for each in tls.get_ca_certs()] == ["us"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:5672",
        "amqp://",
        "amqp://me:secret@/vhost",
        "http://me:secret@host/",
        "redis://me:secret@host:5672/",
        "amqp://me:secret@host:port/",
        "amqp://me:secret@host:99999/",
        "amqp://me:secret@[::1/",
        "amqp://me:secret@host/?heartbeat=secret",
        "amqp://me:secret@host/?heartbeat=",
        "amqp://me:secret@host/?heartbeat=1.5",
        "amqp://me:secret@host/?heartbeat=-1",
        f"amqp://me:secret@host/?heartbeat={HEARTBEAT_MAX_S + 1}",
        "amqp://me:secret@host/?auth=secret",
        "amqp://me:secret@host/?auth=",
        "amqps://me:secret@host/?cafile=/nowhere/secret",
        "amqps://me:secret@host/?certfile=/nowhere/secret",
    ],
)
def test_what_is_no_address_is_an_error_of_the_settings_and_shown_nowhere(url: str) -> None:
    with pytest.raises(SettingsError, match="BRH_AMQP_URL") as caught:
        parse(url)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_an_address_shows_no_password() -> None:
    assert "secret" not in repr(parse("amqp://me:secret@host/"))
