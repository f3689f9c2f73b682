"""Tokens for Kafka: renewed when it is time, bounded, and never shown."""

from __future__ import annotations

import base64
import os
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka.errors import KafkaConnectionError

from bridge.kafka_access import client_options
from bridge.kafka_tokens import TOKEN_MAX_BYTES, EndpointToken, FileToken
from bridge.settings import BridgeSettings, SettingsError, load

SECRET = "s3cret"


class Endpoint:
    """Gives token after token, or whatever it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer: Any = None
        self.now_s = 1_000.0
        self.url = ""

    async def give(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.headers.get("Authorization", ""), dict((await request.post()).items())))
        if isinstance(self.answer, web.StreamResponse):
            return self.answer
        if self.answer is not None:
            return web.json_response(self.answer)
        return web.json_response(
            {"access_token": f"token-{len(self.asked)}", "expires_in": 100, "token_type": "Bearer"}
        )

    def provider(self, **more: Any) -> EndpointToken:
        options = {"scope": "", "timeout_s": 5.0, **more}
        return EndpointToken(self.url, ("me", SECRET), now_s=lambda: self.now_s, **options)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    app = web.Application()
    app.router.add_post("/token", made.give)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/token"))
        yield made


async def test_a_token_is_used_for_four_fifths_of_its_life(endpoint: Endpoint) -> None:
    provider = endpoint.provider(scope="kafka.write")
    assert [await provider.token() for _ in range(3)] == ["token-1"] * 3
    endpoint.now_s += 79.9
    assert await provider.token() == "token-1"
    endpoint.now_s += 0.1
    assert await provider.token() == "token-2"
    basic = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert endpoint.asked == [(basic, {"grant_type": "client_credentials", "scope": "kafka.write"})] * 2


async def test_a_token_whose_life_nobody_told_is_used_once(endpoint: Endpoint) -> None:
    endpoint.answer = {"access_token": "token"}
    provider = endpoint.provider()
    assert [await provider.token() for _ in range(3)] == ["token"] * 3
    assert [form for _, form in endpoint.asked] == [{"grant_type": "client_credentials"}] * 3


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=401, text="wrong s3cret"),
        web.Response(status=503),
        web.Response(status=204),
        web.Response(status=307, headers={"Location": "/token"}),
        web.Response(text="no JSON"),
        web.Response(text='{"access_token": 1}'),
        web.Response(text="{}"),
        web.Response(text='{"access_token": ""}'),
        web.Response(text='{"access_token": "two words"}'),
        web.Response(text='{"access_token": "a\\u0001auth=Bearer b"}'),
        web.Response(text='{"access_token": "a\\r\\nb"}'),
        web.Response(text='{"access_token": "caf\\u00e9"}'),
        web.Response(body=b'{"access_token": "' + b"a" * TOKEN_MAX_BYTES + b'"}'),
    ],
    ids=str,
)
async def test_what_is_no_token_is_told_without_a_secret(endpoint: Endpoint, answer: web.Response) -> None:
    endpoint.answer = answer
    with pytest.raises(KafkaConnectionError, match="BRH_KAFKA_SECURITY_TOKEN_URL") as caught:
        await endpoint.provider().token()
    assert SECRET not in str(caught.value)
    assert len(endpoint.asked) == 1, "it is not followed anywhere"


async def test_an_endpoint_that_does_not_answer_is_given_up(endpoint: Endpoint) -> None:
    endpoint.url = "http://127.0.0.1:1/token"
    with pytest.raises(KafkaConnectionError):
        await endpoint.provider().token()


async def test_a_file_is_read_for_every_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    provider = FileToken(file)
    assert await provider.token() == "one"
    other = tmp_path / "other"
    other.write_text("two")
    os.replace(other, file)
    assert await provider.token() == "two"
    file.write_bytes(b"a" * TOKEN_MAX_BYTES)
    assert len(await provider.token()) == TOKEN_MAX_BYTES


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\n", b"two words", b"a\x01auth=Bearer b", b"a\nb", b"\xff", b"a" * (TOKEN_MAX_BYTES + 1)],
    ids=lambda content: repr(content)[:20],
)
async def test_a_file_without_a_token_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KafkaConnectionError, match="BRH_KAFKA_SECURITY_TOKEN_FILE"):
        await FileToken(file).token()


async def test_a_file_of_any_length_costs_no_more_than_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with file.open("wb") as opened:
        opened.truncate(64 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(KafkaConnectionError):
            await FileToken(file).token()
        assert tracemalloc.get_traced_memory()[1] < 8 * TOKEN_MAX_BYTES
    finally:
        tracemalloc.stop()


def test_clients_get_what_the_settings_say(tmp_path: Path) -> None:
    given: dict[str, Any] = {"kafka_security_protocol": "SASL_SSL", "kafka_security_mechanism": "OAUTHBEARER"}
    by_file = client_options(BridgeSettings(**given, kafka_security_token_file=tmp_path))
    by_url = client_options(BridgeSettings(**given, kafka_security_token_url="https://id.example/token"))
    for options, kind in ((by_file, FileToken), (by_url, EndpointToken)):
        assert options["sasl_mechanism"] == "OAUTHBEARER"
        assert isinstance(options["sasl_oauth_token_provider"], kind)
        assert "sasl_plain_password" not in options


URL = {"TOKEN_URL": "https://id.example/token"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "TOKEN_FILE"),
        ({**URL, "TOKEN_FILE": "token", "USER": "me", "PASSWORD": SECRET}, "TOKEN_FILE"),
        ({**URL, "USER": "me"}, "PASSWORD"),
        ({**URL, "PASSWORD": SECRET}, "USER"),
        ({"TOKEN_FILE": "token", "TOKEN_TIMEOUT_S": "0"}, "TOKEN_TIMEOUT_S"),
    ],
)
def test_what_does_not_go_together_is_named(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"PROTOCOL": "SASL_SSL", "MECHANISM": "OAUTHBEARER", **given}.items():
        monkeypatch.setenv(f"BRH_KAFKA_SECURITY_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load(BridgeSettings)
    assert f"BRH_KAFKA_SECURITY_{said}" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_file_needs_no_name_and_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"PROTOCOL": "SASL_SSL", "MECHANISM": "OAUTHBEARER", "TOKEN_FILE": "token"}.items():
        monkeypatch.setenv(f"BRH_KAFKA_SECURITY_{name}", value)
    assert load(BridgeSettings).kafka_security_token_file == Path("token")
