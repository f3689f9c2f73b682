"""The peer: a bridge as one writes it with aio-pika, a whole body in memory, given to the SDK as `bytes`.

Reads the same settings as `python -m bridge`, stages the same blocks with the same ids, publishes the same facts, and
acknowledges afterwards. `--drain QUEUE COUNT` only acknowledges what comes, in batches: the library at its fastest.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from azure.storage.blob.aio import BlobServiceClient

from benchmarks.told import tell
from bridge.azure_body import BlockBody, Integrity
from bridge.azure_client import is_emulator
from bridge.azure_retry import Backoff
from bridge.checksums import combine, crc64, hex16
from bridge.contract.events import PayloadsStaged, Staged
from bridge.contract.inbound import PayloadMessage
from bridge.envelope import Properties, parse_payload
from bridge.facts import Facts
from bridge.layout import BlockId, part_name, part_of, sub_block_bytes
from bridge.settings import BridgeSettings, load
from bridge.topology import PAYLOADS, SMALL_PAYLOADS

ACK_EVERY = 100
PREFETCH = 500


async def _bridge(settings: BridgeSettings) -> None:
    connection_string = settings.blob_connection_string
    assert connection_string is not None
    client = BlobServiceClient.from_connection_string(
        connection_string.get_secret_value(), api_version=settings.blob_api_version, retry_policy=Backoff()
    )
    async with client, Facts(settings) as facts:
        container = client.get_container_client(settings.blob_container)
        integrity: Integrity = "md5" if is_emulator(client.url) else "crc64"

        async def take(message: AbstractIncomingMessage) -> None:
            body = message.body
            properties = Properties(type=message.type, correlation_id=message.correlation_id, headers=message.headers)
            parsed = parse_payload(properties, len(body))
            assert isinstance(parsed, PayloadMessage), parsed
            name = part_name(parsed.transaction, parsed.series, part_of(parsed.ordinal, parsed.total_count))
            blob = container.get_blob_client(name)
            size = sub_block_bytes(parsed.total_count)
            nsub = -(-len(body) // size)
            crcs, whole = [], 0
            for sub in range(nsub):
                block = body[sub * size : (sub + 1) * size]
                block_id = BlockId(parsed.total_count, parsed.ordinal, 1, sub, nsub, crc64((block,)))
                headers = await BlockBody((block,)).checksum(block_id, integrity)
                await blob.stage_block(str(block_id), block, length=len(block), headers=headers)
                crcs.append(block_id.crc64)
                whole = combine(whole, block_id.crc64, len(block))
            staged = Staged(
                series=parsed.series,
                first=parsed.ordinal,
                count=1,
                total_count=parsed.total_count,
                sizes=(len(body),),
                crc64s=(hex16(whole),),
                blocks=tuple(map(hex16, crcs)),
            )
            await facts.publish(PayloadsStaged(parsed.transaction, (staged,), datetime.now(UTC)))
            await message.ack()

        async with await aio_pika.connect(settings.amqp_url.get_secret_value()) as connection:
            print("begins to consume", flush=True)
            for queue, prefetch in ((PAYLOADS, settings.lanes), (SMALL_PAYLOADS, 100)):
                channel = await connection.channel()
                await channel.set_qos(prefetch_count=prefetch)
                await (await channel.get_queue(queue)).consume(take)
            await asyncio.Event().wait()


async def _drain(settings: BridgeSettings, queue: str, count: int) -> None:
    """Take `count` messages."""
    async with await aio_pika.connect(settings.amqp_url.get_secret_value()) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        done = asyncio.Event()
        taken = 0

        async def take(message: AbstractIncomingMessage) -> None:
            nonlocal taken
            taken += 1
            if taken % ACK_EVERY == 0 or taken == count:
                await message.ack(multiple=True)
            if taken == count:
                done.set()

        await (await channel.get_queue(queue)).consume(take)
        await done.wait()


if __name__ == "__main__":
    configured = load(BridgeSettings)
    if sys.argv[1:2] == ["--drain"]:
        asyncio.run(tell(_drain(configured, sys.argv[2], int(sys.argv[3]))))
    else:
        asyncio.run(_bridge(configured))
