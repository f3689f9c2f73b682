"""Without a connection string, a process enters storage as itself: by a token that the place where it runs vouches for.

Kubernetes does so by a file and the authority behind it (workload identity), other places by an endpoint (managed
identity). Both are on loopback here, and so is the account; the process is one of its own, as a pod has it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import web

from tests.support.certificates import Authority

AUDIENCE: Final = "https://storage.azure.com"
PROOF, SECRET = "proof-of-the-pod", "secret-of-the-endpoint"
ENTER: Final = """
import asyncio, sys
from bridge.azure_blobs import AzureBlobs
from bridge.azure_retry import Backoff
from bridge.blobs import BlobsError
from bridge.checksums import crc64
from bridge.layout import BlockId
from bridge.settings import BridgeSettings, SettingsError, load
from streams.settings import DeliverySettings

async def enter():
    block = BlockId(1, 1, 1, 0, 1, crc64([b"body"]))
    async with AzureBlobs(load(BridgeSettings), retry=Backoff(0)) as bridge:
        await bridge.stage_block("bridge/s/part-00000", block, [b"body"])
    async with AzureBlobs(load(DeliverySettings), retry=Backoff(0)) as delivery:
        for _ in range(2):
            await delivery.write_once("delivery/_outcome.json", b"{}", content_type="application/json", metadata={})

try:
    asyncio.run(enter())
except (BlobsError, SettingsError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
"""What each does first with storage, by the settings of its own kind."""


class Azure:
    """The authority, the endpoint and the account; everything that was asked of them."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.authority = authority
        self.lives_s = 3_600
        """Of a token that is given from now on."""
        self.knows = PROOF
        self.given: list[str] = []
        self.entered: list[tuple[str, str]] = []
        """Whose blob, and what was shown for it."""
        self.http = self.https = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._by_proof)
        app.router.add_get("/msi/token", self._by_endpoint)
        app.router.add_put("/results/{process}/{blob:.*}", self._account)
        return app

    async def _by_proof(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = (form["grant_type"], form["client_id"], form["scope"], request.match_info["tenant"])
        assert asked == ("client_credentials", "our-client", f"{AUDIENCE}/.default", "our-tenant")
        if form["client_assertion"] != self.knows:
            return web.json_response({"error": "invalid_client", "error_description": "no such proof"}, status=401)
        return self._token(expires_in=self.lives_s)

    async def _by_endpoint(self, request: web.Request) -> web.Response:
        assert (request.headers["X-IDENTITY-HEADER"], request.query["resource"]) == (SECRET, AUDIENCE)
        return self._token(expires_on=int(time.time()) + self.lives_s)

    def _token(self, **life: int) -> web.Response:
        self.given.append(f"token-{len(self.given)}")
        return web.json_response({"access_token": self.given[-1], "token_type": "Bearer", "resource": AUDIENCE, **life})

    async def _account(self, request: web.Request) -> web.Response:
        await request.read()
        shown = request.headers.get("Authorization", "nothing")
        self.entered.append((request.match_info["process"], shown))
        if shown.removeprefix("Bearer ") not in self.given:
            return web.Response(status=401, headers={"x-ms-error-code": "NoAuthenticationInformation"})
        when = "Thu, 01 Jan 2026 00:00:00 GMT"
        return web.Response(status=201, headers={"ETag": '"0"', "Last-Modified": when, "x-ms-version": "2026-06-06"})

    def workload(self, proof: str = PROOF) -> dict[str, str]:
        """What Kubernetes gives a pod whose service account has an identity."""
        file = self.folder / "proof"
        file.write_text(proof)
        return {
            "AZURE_AUTHORITY_HOST": f"https://127.0.0.1:{self.https}",
            "AZURE_CLIENT_ID": "our-client",
            "AZURE_TENANT_ID": "our-tenant",
            "AZURE_FEDERATED_TOKEN_FILE": str(file),
        }

    def managed(self) -> dict[str, str]:
        """What other services of Azure give their processes."""
        return {"IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.http}/msi/token", "IDENTITY_HEADER": SECRET}

    async def enter(self, identity: dict[str, str], **more: str) -> tuple[int | None, str]:
        """Have both go to storage; the exit code of the process, and what it printed."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("BRH_", "AZURE_", "IDENTITY"))}
        env = {
            **{name: value for name, value in own.items() if not name.lower().endswith("_proxy")},
            "SSL_CERT_FILE": str(self.authority.certificate),
            "BRH_BLOB_ACCOUNT_URL": f"https://127.0.0.1:{self.https}",
            "BRH_WORKER_ID": "delivery-1",
            **identity,
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ENTER), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(60):
            printed, _ = await process.communicate()
        return process.returncode, printed.decode()


@pytest_asyncio.fixture
async def azure(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Azure]:
    """The parameter, where there is one: what its certificate is for."""
    authority = Authority(tmp_path)
    azure = Azure(tmp_path, authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign("azure", getattr(request, "param", "IP:127.0.0.1")))
    runner = web.AppRunner(azure.app())
    await runner.setup()
    ports = []
    for tls in (None, context):
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        assert site._server is not None
        ports.append(site._server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
    azure.http, azure.https = ports
    yield azure
    await runner.cleanup()


@pytest.mark.parametrize("identity", ["workload", "managed"])
async def test_bridge_and_delivery_ask_for_a_token_and_enter_storage_by_it(azure: Azure, identity: str) -> None:
    code, printed = await azure.enter({"workload": azure.workload, "managed": azure.managed}[identity]())
    assert code == 0, printed
    assert azure.given == ["token-0", "token-1"], "one for each, and not one for each request"
    assert azure.entered == [
        ("bridge", "Bearer token-0"),
        ("delivery", "Bearer token-1"),
        ("delivery", "Bearer token-1"),
    ]


async def test_a_token_that_is_over_is_not_shown_again(azure: Azure) -> None:
    azure.lives_s = 0
    code, printed = await azure.enter(azure.workload())
    assert code == 0, printed
    assert [shown for _, shown in azure.entered] == [f"Bearer token-{number}" for number in range(3)]


async def test_who_is_given_no_token_says_so_and_storage_is_not_asked(azure: Azure) -> None:
    # By name, so that the chain does not go on to look for a machine's endpoint in the network.
    chain = "WorkloadIdentityCredential"
    code, printed = await azure.enter(azure.workload("s3cret-of-another"), AZURE_TOKEN_CREDENTIALS=chain)
    assert code == 1
    said = printed.splitlines()[-1]
    assert said.startswith("BlobsRefused: Blob storage could not stage block"), printed
    assert "give this process an identity" in said
    assert "s3cret" not in printed
    assert "Traceback" not in printed
    assert azure.entered == []


async def test_a_token_is_not_sent_in_the_clear(azure: Azure) -> None:
    code, printed = await azure.enter(azure.managed(), BRH_BLOB_ACCOUNT_URL=f"http://127.0.0.1:{azure.http}")
    assert code == 1
    assert printed.startswith("SettingsError: BRH_BLOB_ACCOUNT_URL: must begin with https://"), printed
    assert (azure.given, azure.entered) == ([], [])


@pytest.mark.parametrize("azure", ["DNS:elsewhere.example"], indirect=True)
async def test_an_account_with_a_certificate_for_another_name_is_shown_nothing(azure: Azure) -> None:
    code, printed = await azure.enter(azure.managed())
    assert code == 1
    assert "certificate is not valid for '127.0.0.1'" in printed.splitlines()[-1], printed
    assert azure.entered == []
