"""What a client that follows a transaction is told: everything that matters, once, and how it goes on elsewhere."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streams.following import Following, Message

OPEN, SENDING, DONE = "AwaitingResults", "SendingCompletion", "Completed"


def row(state: str = OPEN, received: int = 0) -> dict[str, object]:
    return {"transactionId": "T1", "state": state, "received": received}


def told(following: Following, *rows: dict[str, object]) -> list[str | None]:
    messages = [following.next(each) for each in rows]
    return [message.kind if message else None for message in messages]


def test_first_everything_then_what_changes_then_the_end() -> None:
    rows = (row(), row(), row(received=1), row(received=1), row(SENDING, 2), row(DONE, 2), row(DONE, 2))
    following = Following()
    assert told(following, *rows) == ["snapshot", None, "progress", None, "state", "state", "end"]
    assert following.done


def test_of_a_closed_one_there_is_all_and_the_end() -> None:
    following = Following()
    assert told(following, row(DONE), row(DONE)) == ["snapshot", "end"]
    assert following.done


def last_id(*rows: dict[str, object]) -> str:
    following = Following()
    return next(message.id for message in reversed([following.next(each) for each in rows]) if message)


def test_who_comes_back_hears_what_was_missed_and_nothing_twice() -> None:
    seen = last_id(row(received=1))
    assert told(Following(seen), row(received=1), row(received=2)) == [None, "progress"]
    assert told(Following(seen), row(received=2), row(received=2)) == ["snapshot", None]
    assert told(Following(seen), row(received=1), row(SENDING, 2)) == [None, "state"]
    # It had the state, and not the end.
    assert told(Following(last_id(row(), row(DONE))), row(DONE)) == ["end"]


def test_who_has_heard_the_end_need_not_come_back() -> None:
    end = last_id(row(DONE), row(DONE))
    assert Following(end).has_all(row(DONE))
    for other in (None, "", "junk", last_id(row(DONE)), end.removesuffix(".end"), ".end"):
        assert not Following(other).has_all(row(DONE))
    assert not Following(end).has_all(row(received=1)), "after a loss it is open again"
    assert told(Following(end), row(received=1)) == ["snapshot"]


def test_a_message_is_one_event_whatever_it_says() -> None:
    message = Following().next(row() | {"text": "a\nb\r\n\ndata: x\u2028"})
    assert message is not None
    lines = message.wire.decode().split("\n")
    assert [line.partition(":")[0] for line in lines] == ["event", "id", "retry", "data", "", ""]
    assert "\r" not in message.wire.decode()


rows = st.builds(row, st.sampled_from([OPEN, SENDING, DONE]), st.integers(0, 2))


@given(st.lists(rows, max_size=12), st.integers(0, 12))
def test_the_last_that_was_told_is_always_what_there_is(shown: list[dict[str, object]], breaks: int) -> None:
    following = Following()
    heard: Message | None = None
    for at, each in enumerate(shown):
        if at == breaks:  # the connection ends, and another tracker goes on
            following = Following(heard.id if heard else None)
        if following.done:
            break
        heard = following.next(each) or heard
        assert heard is not None
        assert msgspec.json.decode(heard.data) == each
        assert following.done == (heard.kind == "end")
