"""Kafka by TLS: with a password or a certificate everything works; without the right one nothing does, and soon."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.certificates import Authority
from tests.support.outside import Chunks, publish
from tests.support.secure_kafka import PASSWORD, USER, SecureKafka
from tests.support.token_issuer import CLIENT, SECRET, TokenIssuer
from tests.support.world import World

ENDED_S = 60
SECURITY = "BRH_KAFKA_SECURITY"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenIssuer]:
    made = TokenIssuer(tmp_path_factory.mktemp("issuer"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, authority: Authority, issuer: TokenIssuer) -> Iterator[SecureKafka]:
    made = SecureKafka(tmp_path_factory.mktemp("kafka"), authority, issuer=issuer)
    made.up()
    yield made
    made.down()


@pytest.fixture
def scram(kafka: SecureKafka, authority: Authority) -> dict[str, str]:
    """Settings with which one is let in by a password."""
    return {
        "BRH_KAFKA_BOOTSTRAP": kafka.scram,
        f"{SECURITY}_PROTOCOL": "SASL_SSL",
        f"{SECURITY}_CA_FILE": str(authority.certificate),
        f"{SECURITY}_USER": USER,
        f"{SECURITY}_PASSWORD": PASSWORD,
    }


@pytest.fixture
def mutual(kafka: SecureKafka, authority: Authority) -> dict[str, str]:
    """Settings with which one is let in by a certificate."""
    own = authority.sign("worker")
    return {
        "BRH_KAFKA_BOOTSTRAP": kafka.mutual,
        f"{SECURITY}_PROTOCOL": "SSL",
        f"{SECURITY}_CA_FILE": str(authority.certificate),
        f"{SECURITY}_CERT_FILE": str(own.certificate),
        f"{SECURITY}_KEY_FILE": str(own.key),
    }


@pytest.fixture
def endpoint(kafka: SecureKafka, authority: Authority, issuer: TokenIssuer) -> dict[str, str]:
    """Settings with which one is let in by a token from an endpoint."""
    return {
        "BRH_KAFKA_BOOTSTRAP": kafka.oauth,
        f"{SECURITY}_PROTOCOL": "SASL_SSL",
        f"{SECURITY}_CA_FILE": str(authority.certificate),
        f"{SECURITY}_MECHANISM": "OAUTHBEARER",
        f"{SECURITY}_TOKEN_URL": issuer.url,
        f"{SECURITY}_USER": CLIENT,
        f"{SECURITY}_PASSWORD": SECRET,
    }


@pytest.fixture
def token_file(endpoint: dict[str, str], issuer: TokenIssuer, tmp_path: Path) -> dict[str, str]:
    """Settings with which one is let in by a token from a file."""
    file = tmp_path / "token"
    file.write_text(issuer.token())
    others = {name: value for name, value in endpoint.items() if not name.endswith(("_URL", "_USER", "_PASSWORD"))}
    return {**others, f"{SECURITY}_TOKEN_FILE": str(file)}


def brh(env: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BRH_")}
    command = [sys.executable, "-c", "from streams.cli import main; main()", *arguments]
    ran = subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, timeout=ENDED_S, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def refused_by_kafka(world: World) -> str:
    """What `brh setup` says; RabbitMQ, which comes first, lets us in, so it is Kafka that does not."""
    world.virtual_host.make()
    try:
        code, printed = brh(world.env, "setup")
    finally:
        world.virtual_host.drop()
    assert code == 4, printed
    assert "(unreachable)" in printed
    assert "Kafka did not do what was asked" in printed
    return printed


@pytest.mark.parametrize("way", ["scram", "mutual", "endpoint", "token_file"])
def test_the_whole_product_works(
    way: str, request: pytest.FixtureRequest, stack_env: dict[str, str], tmp_path: Path
) -> None:
    world = World(stack_env, tmp_path / "world", env=request.getfixturevalue(way))
    world.start()
    try:
        name = f"T{uuid4().hex}"
        asyncio.run(publish(world, name, {"a": Chunks("a", [10, 300_000])}))
        world.wait_state(name, ["Completed"])
        code, printed = brh(world.env, "doctor", "--json")
        assert (code, '"kafka.answers","status":"ok"' in printed) == (0, True), printed
        code, printed = brh(world.env, "replay", name)
        assert code == 0, printed
        said = world.log.read_text()
        assert [secret for secret in (PASSWORD, SECRET, "eyJ") if secret in said] == []
    finally:
        world.stop()


@pytest.mark.parametrize("wrong", ["secret", "over"])
def test_a_token_that_is_none_lets_nobody_in(
    wrong: str,
    endpoint: dict[str, str],
    token_file: dict[str, str],
    issuer: TokenIssuer,
    stack_env: dict[str, str],
    tmp_path: Path,
) -> None:
    token = {
        "over": issuer.token(lives_s=-120),
    }.get(wrong)
    env = {**endpoint, f"{SECURITY}_PASSWORD": "another-s3cret"} if token is None else token_file
    if token is not None:
        Path(env[f"{SECURITY}_TOKEN_FILE"]).write_text(token)
    printed = refused_by_kafka(World(stack_env, tmp_path / "world", env=env))
    assert [secret for secret in ("s3cret", "eyJ") if secret in printed] == []


@pytest.mark.parametrize(
    "wrong",
    ["authority", "password", "user", "plaintext", "no certificate", "our certificate is over", "theirs is over"],
)
def test_who_is_not_let_in_is_told_soon_and_shows_no_secret(
    wrong: str,
    kafka: SecureKafka,
    authority: Authority,
    scram: dict[str, str],
    mutual: dict[str, str],
    stack_env: dict[str, str],
    tmp_path: Path,
) -> None:
    other = Authority(tmp_path, "other")
    over = authority.sign("worker", expired=True)
    env = {
        "authority": {**scram, f"{SECURITY}_CA_FILE": str(other.certificate)},
        "password": {**scram, f"{SECURITY}_PASSWORD": "another-s3cret"},
        "user": {**scram, f"{SECURITY}_USER": "nobody"},
        "plaintext": {"BRH_KAFKA_BOOTSTRAP": scram["BRH_KAFKA_BOOTSTRAP"]},
        "no certificate": {name: value for name, value in mutual.items() if "CERT" not in name and "KEY" not in name},
        "our certificate is over": {
            **mutual,
            f"{SECURITY}_CERT_FILE": str(over.certificate),
            f"{SECURITY}_KEY_FILE": str(over.key),
        },
        "theirs is over": {
            "BRH_KAFKA_BOOTSTRAP": kafka.expired,
            f"{SECURITY}_PROTOCOL": "SSL",
            f"{SECURITY}_CA_FILE": str(authority.certificate),
        },
    }[wrong]
    assert "s3cret" not in refused_by_kafka(World(stack_env, tmp_path / "world", env=env))
