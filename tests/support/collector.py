"""A collector of traces: takes OTLP over HTTP, as OpenTelemetry's own does, and keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class SpanSeen(NamedTuple):
    """What a span says, ids in hex."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    """Empty: it begins a trace."""
    notes: dict[str, Any]
    links: tuple[str, ...]
    """Ids of spans."""
    error: str
    """Of an exception that ended it."""


class Collector:
    """Entered, it listens; `silent` ones take a request and never answer."""

    def __init__(self, *, silent: bool = False) -> None:
        self.spans: list[SpanSeen] = []
        self.bodies: list[bytes] = []
        self._over = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if silent:
                    collector._over.wait(60)
                    return
                collector._keep(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def where(self, wanted: Callable[[SpanSeen], bool]) -> list[SpanSeen]:
        """The spans of which this is true."""
        return [span for span in [*self.spans] if wanted(span)]

    def _keep(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_seen(service, span) for span in scope.spans]


def _seen(service: str, span: Any) -> SpanSeen:
    return SpanSeen(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes},
        tuple(link.span_id.hex() for link in span.links),
        span.status.message,
    )
