"""What only the adapter to Azure has to get right: a network that fails, and answers that say no."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from azure.core.exceptions import AzureError, HttpResponseError

from bridge.azure_blobs import AzureBlobs
from bridge.azure_client import is_emulator
from bridge.azure_errors import asking
from bridge.azure_retry import RETRIES, RETRY_AFTER_MAX_S, Backoff, retry_after_s
from bridge.blobs import (
    Blobs,
    BlobsError,
    BlobsRefused,
    BlobsUnavailable,
    Block,
    Committed,
    Deletion,
    Exists,
)
from bridge.checksums import crc64
from bridge.layout import MIB, BlockId
from bridge.memory_blobs import MemoryBlobs
from bridge.settings import BlobSettings, SettingsError
from tests.support.azure import azure_blobs, behind, blob_settings, endpoint, unique_container
from tests.support.fault_proxy import Fault, FaultProxy

NAME = "t-1/cashflows/part-00000"
KIND = "application/x-test"
BODY = random.Random(1).randbytes(2 * MIB + 3)
BLOCK = BlockId(9, 1, 1, 0, 1, crc64([BODY]))
PIECES = [memoryview(BODY)[: 300 << 10], memoryview(BODY)[300 << 10 :]]


@pytest.fixture
async def proxy(blob_connection_string: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(endpoint(blob_connection_string)) as proxy:
        yield proxy
        assert proxy.planned == [], "a fault never happened: the test proves nothing"


@pytest.fixture
async def blobs(blob_connection_string: str, proxy: FaultProxy) -> AsyncIterator[AzureBlobs]:
    """Storage behind the proxy."""
    async with azure_blobs(behind(proxy.url, blob_connection_string)) as blobs:
        await blobs.create_container()
        yield blobs


async def commit(blobs: Blobs, *blocks: BlockId) -> Committed | Exists:
    return await blobs.commit(NAME, blocks, content_type=KIND, metadata={"digest": "ours"})


async def write(blobs: Blobs, body: bytes = b"record") -> Committed | Exists:
    return await blobs.write_once(NAME, body, content_type=KIND, metadata={"digest": "ours"})


# Attempts that fail


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    "fault", [Fault.UNAVAILABLE, Fault.UNAVAILABLE_EARLY, Fault.RESET_IN_BODY, Fault.CUT_REPLY], ids=lambda f: f.name
)
async def test_a_repeated_block_has_its_whole_body(
    blobs: AzureBlobs, proxy: FaultProxy, fault: Fault, times: int
) -> None:
    proxy.plan("PUT", "comp=block&", fault, times)
    await blobs.stage_block(NAME, BLOCK, PIECES)
    assert proxy.seen[-1].body == BODY
    assert await blobs.uncommitted(NAME) == [Block(BLOCK, len(BODY))]
    await commit(blobs, BLOCK)
    found = await blobs.read(NAME)
    assert found is not None
    assert found.body == BODY


async def test_a_block_on_a_connection_that_was_used_before_survives_its_reset(
    blobs: AzureBlobs, proxy: FaultProxy
) -> None:
    for ordinal in range(3):
        proxy.plan("PUT", "comp=block&", Fault.RESET_IN_BODY)
        await blobs.uncommitted(NAME)
        await blobs.stage_block(NAME, BlockId(9, ordinal, 1, 0, 1, BLOCK.crc64), PIECES)
        assert proxy.seen[-1].body == BODY


async def test_a_commit_whose_reply_is_lost_finds_itself(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    await blobs.stage_block(NAME, BLOCK, PIECES)
    proxy.plan("PUT", "comp=blocklist", Fault.CUT_REPLY)
    done = await commit(blobs, BLOCK)
    assert [seen.status for seen in proxy.seen if "comp=blocklist" in seen.target] == [201, 409]
    assert isinstance(done, Exists)
    assert done.there.metadata == {"digest": "ours"}
    assert done.there.size == len(BODY)
    assert done.there == await blobs.properties(NAME)


async def test_a_repeated_commit_that_is_told_its_blocks_are_gone_finds_itself(
    blobs: AzureBlobs, proxy: FaultProxy
) -> None:
    await blobs.stage_block(NAME, BLOCK, PIECES)
    proxy.plan("PUT", "comp=blocklist", Fault.CUT_REPLY)
    proxy.plan("PUT", "comp=blocklist", Fault.BLOCKS_GONE)
    done = await commit(blobs, BLOCK)
    assert isinstance(done, Exists)
    assert done.there.metadata == {"digest": "ours"}


async def test_a_commit_that_failed_before_the_service_saw_it_is_a_commit(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    await blobs.stage_block(NAME, BLOCK, PIECES)
    proxy.plan("PUT", "comp=blocklist", Fault.UNAVAILABLE)
    assert isinstance(await commit(blobs, BLOCK), Committed)


async def test_a_record_whose_reply_is_lost_finds_itself(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    proxy.plan("PUT", NAME, Fault.CUT_REPLY)
    done = await write(blobs)
    assert [seen.status for seen in proxy.seen if seen.method == "PUT"][-2:] == [201, 409]
    assert isinstance(done, Exists)
    found = await blobs.read(NAME)
    assert found is not None
    assert (found.body, found.etag) == (b"record", done.there.etag)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_record_of_any_size_is_one_request(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    before = len(proxy.seen)
    await write(blobs, bytes(5 * MIB))
    assert [(seen.method, len(seen.body)) for seen in proxy.seen[before:]] == [("PUT", 5 * MIB)]


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.CUT_REPLY, Fault.TRUNCATED_REPLY], ids=lambda f: f.name)
async def test_a_read_that_breaks_is_read_again(blobs: AzureBlobs, proxy: FaultProxy, fault: Fault) -> None:
    await write(blobs, BODY[:MIB])
    proxy.plan("GET", NAME, fault)
    found = await blobs.read(NAME)
    assert found is not None
    assert found.body == BODY[:MIB]
    proxy.plan("GET", NAME, fault)
    chunks = [chunk async for chunk in blobs.stream(NAME, found.etag, chunk_bytes=400 << 10)]
    assert b"".join(chunks) == BODY[:MIB]


async def test_a_deletion_whose_reply_is_lost_finds_nothing(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    done = await write(blobs)
    assert isinstance(done, Committed)
    proxy.plan("DELETE", NAME, Fault.CUT_REPLY)
    assert await blobs.delete(NAME, done.etag) is Deletion.ABSENT
    assert [seen.status for seen in proxy.seen if seen.method == "DELETE"] == [202, 412]
    assert await blobs.properties(NAME) is None


async def test_a_page_that_breaks_is_read_again(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    await write(blobs)
    for fault in (Fault.UNAVAILABLE, Fault.CUT_REPLY, Fault.TRUNCATED_REPLY):
        proxy.plan("GET", "comp=list", fault)
        assert [blob.name for blob in (await blobs.page()).blobs] == [NAME]


async def test_a_page_is_one_request(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    for n in range(5):
        await blobs.write_once(f"T1/{n}", b"x", content_type=KIND, metadata={})
    before = len(proxy.seen)
    page = await blobs.page("T1/", limit=2)
    assert (len(page.blobs), len(proxy.seen) - before) == (2, 1)


# Trouble that lasts


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.RESET_IN_BODY], ids=lambda f: f.name)
async def test_trouble_that_outlasts_the_attempts_is_unavailable(
    blobs: AzureBlobs, proxy: FaultProxy, fault: Fault
) -> None:
    proxy.plan("PUT", "comp=block&", fault, times=5)
    with pytest.raises(BlobsUnavailable, match=r"could not stage block .* try again later") as caught:
        await blobs.stage_block(NAME, BLOCK, PIECES)
    assert isinstance(caught.value.__cause__, AzureError)
    assert await blobs.uncommitted(NAME) == []


async def test_throttling_is_unavailable(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    proxy.plan("PUT", "comp=block&", Fault.THROTTLED)
    with pytest.raises(BlobsUnavailable, match="429"):
        await blobs.stage_block(NAME, BLOCK, PIECES)


async def test_a_read_that_always_breaks_is_unavailable(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    await write(blobs, BODY[:MIB])
    proxy.plan("GET", NAME, Fault.TRUNCATED_REPLY, times=3)
    with pytest.raises(BlobsUnavailable):
        await blobs.read(NAME)


async def test_a_service_that_says_nothing_is_unavailable_in_the_end() -> None:
    with pytest.raises(BlobsUnavailable, match=r"did not look within 0\.01 s") as caught:
        async with asking("look", timeout_s=0.01):
            await asyncio.Event().wait()
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_a_call_without_an_answer_can_be_cancelled(blobs: AzureBlobs, proxy: FaultProxy) -> None:
    proxy.plan("PUT", "comp=block&", Fault.SILENCE)
    staging = asyncio.create_task(blobs.stage_block(NAME, BLOCK, PIECES))
    async with asyncio.timeout(30):
        while proxy.planned:
            await asyncio.sleep(0)
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    await blobs.stage_block(NAME, BLOCK, PIECES)


async def test_nobody_there_is_unavailable(blob_connection_string: str, unused_tcp_port: int) -> None:
    real = endpoint(blob_connection_string)
    nowhere = blob_connection_string.replace(real, f"http://127.0.0.1:{unused_tcp_port}/devstoreaccount1")
    async with azure_blobs(nowhere) as blobs:
        with pytest.raises(BlobsUnavailable, match="create container"):
            await blobs.create_container()


# Answers that say no


async def test_a_wrong_key_is_refused_and_shown_nowhere(blob_connection_string: str) -> None:
    key = blob_connection_string.partition("AccountKey=")[2].partition(";")[0]
    wrong = "d3Jvbmc="
    async with azure_blobs(blob_connection_string.replace(key, wrong)) as blobs:
        for attempt in (blobs.create_container(), blobs.properties(NAME), blobs.uncommitted(NAME), write(blobs)):
            with pytest.raises(BlobsRefused, match="Storage Blob Data Contributor") as caught:
                await attempt
            assert wrong not in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1


async def test_a_version_that_the_client_does_not_know_is_an_error_of_the_settings(blob_connection_string: str) -> None:
    settings = blob_settings(blob_connection_string).model_copy(update={"blob_api_version": "2099-01-01"})
    with pytest.raises(SettingsError, match="BRH_BLOB_API_VERSION"):
        await AzureBlobs(settings).__aenter__()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "Md5Mismatch", BlobsUnavailable),
        (400, "Crc64Mismatch", BlobsUnavailable),
        (400, "InvalidBlobOrBlock", BlobsRefused),
        (401, "InvalidAuthenticationInfo", BlobsRefused),
        (403, "AuthorizationPermissionMismatch", BlobsRefused),
        (404, "ContainerNotFound", BlobsRefused),
        (408, "", BlobsUnavailable),
        (409, "ContainerBeingDeleted", BlobsUnavailable),
        (409, "BlockCountExceedsLimit", BlobsRefused),
        (412, "LeaseIdMissing", BlobsUnavailable),
        (413, "RequestBodyTooLarge", BlobsRefused),
        (429, "TooManyRequests", BlobsUnavailable),
        (500, "OperationTimedOut", BlobsUnavailable),
        (501, "FeatureNotSupported", BlobsRefused),
        (503, "ServerBusy", BlobsUnavailable),
    ],
)
async def test_each_answer_is_for_later_or_for_somebody(status: int, code: str, expected: type[BlobsError]) -> None:
    error = HttpResponseError("said so\nAuthenticationErrorDetail: secret")
    error.status_code = status
    vars(error)["error_code"] = code  # as the storage client adds it
    with pytest.raises(expected, match=f"could not look: {status}.*{code}") as caught:
        async with asking("look"):
            raise error
    assert caught.value.__cause__ is error
    assert "secret" not in str(caught.value)


async def test_a_leased_blob_is_not_deleted_and_not_taken_for_another_version(blobs: AzureBlobs) -> None:
    done = await write(blobs)
    assert isinstance(done, Committed)
    await blobs._blob(NAME).acquire_lease(lease_duration=15)
    with pytest.raises(BlobsUnavailable, match="LeaseIdMissing"):
        await blobs.delete(NAME, done.etag)


async def test_a_snapshot_keeps_no_blob_from_being_deleted(blobs: AzureBlobs) -> None:
    done = await write(blobs)
    assert isinstance(done, Committed)
    await blobs._blob(NAME).create_snapshot()
    assert await blobs.delete(NAME, done.etag) is Deletion.DELETED


# How it is used


async def test_a_container_that_is_full_of_somebody_elses_blocks_shows_only_ours(
    blob_connection_string: str,
) -> None:
    async with azure_blobs(blob_connection_string) as blobs:
        await blobs.create_container()
        await blobs._blob(NAME).stage_block("x" * len(str(BLOCK)), b"foreign", length=7)
        await blobs.stage_block(NAME, BLOCK, PIECES)
        assert await blobs.uncommitted(NAME) == [Block(BLOCK, len(BODY))]


async def test_two_clients_share_a_container(blob_connection_string: str) -> None:
    container = unique_container()
    async with (
        azure_blobs(blob_connection_string, container=container) as one,
        azure_blobs(blob_connection_string, container=container) as other,
    ):
        assert await one.create_container()
        assert not await other.create_container()
        done = await asyncio.gather(*(write(client) for client in (one, other) * 4))
    assert sum(isinstance(result, Committed) for result in done) == 1


async def test_a_closed_client_says_so(blob_connection_string: str) -> None:
    client = azure_blobs(blob_connection_string)
    for _ in range(2):
        async with client as blobs:
            await blobs.create_container()
        with pytest.raises(RuntimeError, match="async with"):
            await client.properties(NAME)


async def test_an_address_carries_no_signature(blob_connection_string: str) -> None:
    real = endpoint(blob_connection_string)
    shared = f"BlobEndpoint={real};SharedAccessSignature=sv=2024-01-01&sig=c2VjcmV0"
    async with azure_blobs(shared, container="results") as blobs:
        assert blobs.uri(NAME) == f"{real}/results/{NAME}"


def test_without_an_account_there_is_nothing_to_open() -> None:
    with pytest.raises(SettingsError, match="BRH_BLOB_CONNECTION_STRING or BRH_BLOB_ACCOUNT_URL"):
        AzureBlobs(BlobSettings(blob_container="results", blob_connection_string=None, blob_account_url=None))


async def test_a_string_that_leads_nowhere_is_not_quoted() -> None:
    with pytest.raises(SettingsError, match="BRH_BLOB_CONNECTION_STRING") as caught:
        await AzureBlobs(blob_settings("AccountKey=secret")).__aenter__()
    assert "secret" not in str(caught.value)


async def test_an_account_url_uses_the_own_identity() -> None:
    settings = BlobSettings(
        blob_container="results", blob_connection_string=None, blob_account_url="https://acme.blob.core.windows.net"
    )
    async with AzureBlobs(settings) as blobs:
        assert blobs.uri(NAME) == f"https://acme.blob.core.windows.net/results/{NAME}"


@pytest.mark.parametrize(
    ("url", "emulator"),
    [
        ("http://127.0.0.1:10000/devstoreaccount1", True),
        ("http://azurite:10000/devstoreaccount1", True),
        ("https://localhost:10000/x", True),
        ("https://acme.blob.core.windows.net", False),
        ("https://devstoreaccount1.blob.core.windows.net", False),
    ],
)
def test_an_emulator_is_known_by_its_address(url: str, emulator: bool) -> None:
    assert is_emulator(url) == emulator


def test_every_kind_of_trouble_gets_the_same_number_of_attempts() -> None:
    policy = Backoff()
    assert policy.total_retries == policy.connect_retries == policy.read_retries == policy.status_retries == RETRIES


def test_pauses_between_attempts_begin_near_a_second_grow_and_are_spread_by_chance() -> None:
    policy = Backoff()
    many = [[policy.get_backoff_time({"count": n, "history": []}) for n in range(1, 5)] for _ in range(200)]
    for about, pauses in zip([1, 2, 4, 8], zip(*many, strict=True), strict=True):
        assert all(0.5 * about <= pause_s <= 1.5 * about for pause_s in pauses)
        assert max(pauses) - min(pauses) > 0.5 * about


def test_a_pause_is_as_long_as_the_service_asks_for() -> None:
    def told(said: str | None) -> float:
        answer = SimpleNamespace(headers={} if said is None else {"Retry-After": said})
        history = [SimpleNamespace(http_response=None), SimpleNamespace(http_response=answer)]
        return Backoff(first_s=0).get_backoff_time({"count": 1, "history": history})

    assert [told(said) for said in ("7", "0", None, "soon", "-1", "99999")] == [7, 0, 0, 0, 0, RETRY_AFTER_MAX_S]
    assert retry_after_s(None) == 0, "a connection that failed"


def test_both_storages_keep_the_protocol(blob_connection_string: str) -> None:
    both: list[Blobs] = [MemoryBlobs(), azure_blobs(blob_connection_string)]
    assert len(both) == 2
