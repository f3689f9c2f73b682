"""What a message begins with is read as the library reads it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame, header

from bridge.amqp_message import read_deliver, read_properties
from bridge.decoding import decode_whatever_comes

FLAGS_AT = 12
texts = st.text(st.characters(codec="utf-8"), max_size=40)
octets = st.integers(0, 255)
headers = st.dictionaries(texts, st.text(max_size=9) | st.integers(-(1 << 63), (1 << 63) - 1) | st.none(), max_size=5)
times = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))
KINDS = {"headers": headers, "delivery_mode": st.integers(1, 2), "priority": octets, "timestamp": times}
NAMES = [name for name in commands.Basic.Properties.flags if name != "cluster_id"]
properties = st.fixed_dictionaries({}, optional={name: KINDS.get(name, texts) for name in NAMES})


@given(properties)
def test_properties_are_read_as_the_library_reads_them(sent: dict[str, Any]) -> None:
    decode_whatever_comes()
    encoded = header.ContentHeader(0, 5, commands.Basic.Properties(**sent)).marshal()
    by_the_library = header.ContentHeader()
    by_the_library.unmarshal(encoded)
    assert dict(read_properties(encoded[FLAGS_AT:])) == dict(by_the_library.properties)


@given(properties.filter(bool), st.data())
def test_properties_that_end_too_early_are_told_from_such_as_say_nothing(sent: dict[str, Any], data: Any) -> None:
    encoded = header.ContentHeader(0, 5, commands.Basic.Properties(**sent)).marshal()[FLAGS_AT:]
    if encoded[:2] == b"\0\0":
        return  # the library leaves out what is empty
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises((LookupError, ValueError, struct.error)):
        read_properties(encoded[:cut])


def test_what_is_no_text_is_no_reason_to_give_up() -> None:
    found = read_properties(struct.pack(">HB", commands.Basic.Properties.flags["correlation_id"], 2) + b"\xff\xfe")
    assert found.correlation_id == "\udcff\udcfe"
    unreadable = struct.pack(">HI", commands.Basic.Properties.flags["headers"], 3) + b"\x09ab"
    assert read_properties(unreadable).headers == {}


@given(texts, st.integers(0, (1 << 63) - 1), st.booleans(), texts, texts)
def test_a_delivery_is_read_as_the_library_reads_it(
    consumer: str, tag: int, redelivered: bool, exchange: str, routing_key: str
) -> None:
    def text(value: str) -> bytes:
        return bytes([len(value.encode())]) + value.encode()

    payload = b"\x00\x3c\x00\x3c" + text(consumer) + struct.pack(">Q?", tag, redelivered)
    payload += text(exchange) + text(routing_key)
    whole = b"\x01\x00\x01" + struct.pack(">I", len(payload)) + payload + b"\xce"
    by_the_library = frame.unmarshal(whole)[2]
    found = read_deliver(payload)
    assert found is not None
    for name in ("delivery_tag", "redelivered", "routing_key"):
        assert getattr(found, name) == getattr(by_the_library, name)
    assert read_deliver(frame.marshal(commands.Basic.GetEmpty(), 1)[7:]) is None
