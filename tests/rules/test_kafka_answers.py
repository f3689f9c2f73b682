"""Asking a Kafka that is only starting leaves nothing open, however far it has come."""

from __future__ import annotations

import asyncio.selector_events
import gc
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.stack import kafka
from streams.stack import state as state_file

APIS = range(40)


class Starting:
    """It accepts connections, says which requests it knows where `greets`, and answers no other."""

    def __init__(self, port: int, greets: bool) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._greets = greets
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            self._open.append(connection)
            (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
            if size < 0:
                return  # our own goodbye
            correlation = connection.recv(size, socket.MSG_WAITALL)[4:8]
            if self._greets:
                known = b"".join(struct.pack(">hhh", api, 0, 9) for api in APIS)
                answer = correlation + struct.pack(">hi", 0, len(APIS)) + known
                connection.sendall(struct.pack(">i", len(answer)) + answer)

    def stop(self) -> None:
        with socket.create_connection(self._server.getsockname()) as goodbye:
            goodbye.sendall(struct.pack(">i", -1))
            self._thread.join(20)
        for each in (*self._open, self._server):
            each.close()


@pytest.fixture
def left_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The transports that nobody closed, once the collector has been round."""
    found: list[str] = []
    transport = asyncio.selector_events._SelectorTransport
    warn = transport.__del__

    def noted(self: object) -> None:
        if getattr(self, "_sock", None) is not None:
            found.append(repr(self))
        warn(self, lambda *_, **__: None)

    monkeypatch.setattr(transport, "__del__", noted)
    yield found
    monkeypatch.undo()


@pytest.mark.parametrize("greets", [True, False])
def test_a_broker_that_does_not_answer_is_not_ready_and_left_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_open: list[str], greets: bool
) -> None:
    monkeypatch.setattr(kafka, "_ASK_TIMEOUT_S", 0.5)
    node = kafka.Kafka(tmp_path, state_file.create(tmp_path))
    broker = Starting(node.port, greets)
    try:
        assert not node.answers()
        gc.collect()
        assert left_open == []
    finally:
        broker.stop()
