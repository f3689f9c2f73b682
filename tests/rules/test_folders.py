"""What a list shows of transactions, however it is cut into pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.blobs import Listed
from streams.folders import Folder, gather
from tests.support.result import START


def blob(name: str, size: int = 1, minutes: int | None = 0, **metadata: str) -> Listed:
    return Listed(name, size, "0x1", None if minutes is None else START + timedelta(minutes=minutes), metadata)


def gathered(blobs: list[Listed], page: int) -> list[Folder]:
    found: list[Folder] = []
    begun: Folder | None = None
    for at in range(0, len(blobs), page):
        done, begun = gather(begun, blobs[at : at + page])
        found += done
    return [*found, begun] if begun is not None else found


BLOBS = [
    blob("$web/index.html"),
    blob("T1-x/a/part-00000", 0, None),
    blob("T1/_header.json", minutes=1),
    blob("T1/_outcome.json", minutes=9, brh_parts="2"),
    blob("T1/_told.json", minutes=10),
    blob("T1/a/part-00000", brh_content="1"),
    blob("T1/a/part-00001", 0, brh_content="1"),
    blob("T10/_header.json", minutes=3),
    blob("T10/b/part-00000", 0, minutes=2),
    blob("loose.txt"),
    blob("no..transaction/a/part-00000"),
]


@pytest.mark.parametrize("page", range(1, len(BLOBS) + 1))
def test_a_transaction_is_put_together_over_pages(page: int) -> None:
    at = START + timedelta(minutes=10)
    folders = [folder for folder in gathered(BLOBS, page) if folder.transaction != "loose.txt"]
    assert folders == [
        Folder("T1-x", parts=1, bare=1),
        Folder("T1", BLOBS[3], header=True, told=True, parts=2, newest=at),
        Folder("T10", header=True, parts=1, bare=1, newest=START + timedelta(minutes=3)),
    ]


def test_a_folder_has_garbage_when_more_is_there_than_the_outcome_lists() -> None:
    whole = Folder("T1", blob("T1/_outcome.json", brh_parts="2"), parts=2)
    assert not whole.garbage
    assert not whole._replace(parts=1).garbage, "what is missing is not ours to find"
    assert whole._replace(parts=3).garbage
    assert whole._replace(bare=1).garbage
    assert not whole._replace(outcome=None, bare=1).garbage, "without an outcome it is not known what is garbage"
    assert whole._replace(outcome=blob("T1/_outcome.json")).garbage


names = st.lists(st.sampled_from([f"T{n}/{rest}" for n in range(4) for rest in ("_told.json", "a/part-00000", "x")]))


@given(names, st.integers(1, 5))
def test_every_blob_is_in_one_folder(found: list[str], page: int) -> None:
    blobs = [blob(name) for name in sorted(set(found))]
    folders = gathered(blobs, page)
    assert [folder.transaction for folder in folders] == sorted({each.name.partition("/")[0] for each in blobs})
    assert sum(folder.parts + folder.told for folder in folders) == sum(not each.name.endswith("x") for each in blobs)
