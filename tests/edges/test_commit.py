"""What is assembled in the real service has the bytes, the length and the checksum that its outcome says."""

from __future__ import annotations

import random
from uuid import uuid4

from bridge.contract.events import DeliveryRefused
from bridge.layout import part_count
from tests.support.assembly import SERIES, Assembly
from tests.support.azure import azure_blobs


async def test_the_checksum_of_a_part_is_that_of_the_bytes_in_storage(blob_connection_string: str) -> None:
    # Runs of all sizes, payloads of up to 40 blocks, empty ones, and two parts, of which nothing was read before.
    chance = random.Random(5)
    payloads = {ordinal: chance.randbytes(chance.choice([0, 1, 300])) for ordinal in range(1, 4_111)}
    payloads |= {ordinal: chance.randbytes(40 * 1_000) for ordinal in (1, 2_000, 4_096, 4_110)}
    async with azure_blobs(blob_connection_string) as blobs:
        await blobs.create_container()
        assembly = Assembly(payloads, blobs, transaction=f"t-{uuid4()}", cut_bytes=1_000)
        for first in (257, 513, 769, *range(1_025, 1_793, 256), *range(2_049, 3_841, 256)):
            await assembly.stage(first, 256)
        for count in (128, 64, 32, 16, 8, 4, 2):
            for first in range(1, 4_111 - count, count):
                stretch = range(first, first + count)
                free = all(assembly.transaction.series[SERIES].contents.get(each) is None for each in stretch)
                if free and all(len(payloads[each]) < 1_000 for each in stretch):
                    await assembly.stage(first, count)
        await assembly.stage(2, bodies=[b"of a bridge that died"], told=False)
        for ordinal in payloads:
            if assembly.transaction.series[SERIES].contents.get(ordinal) is None:
                await assembly.stage(ordinal)
        await assembly.stage(4_110, bodies=[b"late"])
        answer = await assembly.deliver()
        assert isinstance(answer, DeliveryRefused)
        assert answer.unclear == {SERIES: (0, 1)}
        assert await assembly.result() == assembly.whole
        (series,) = await assembly.outcome()
        assert len(series.parts) == part_count(4_110) == 2
