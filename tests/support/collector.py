"""An OpenTelemetry collector that keeps what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What came, and what was said with it."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.said: list[dict[str, str]] = []

    def take(self, request: ExportTraceServiceRequest, said: dict[str, str]) -> None:
        self.requests.append(request)
        self.said.append(said)

    @property
    def spans(self) -> list[Any]:
        """All of them, as Protobuf has them."""
        requests = list(self.requests)
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(span: Any) -> dict[str, Any]:
    """Of a span, as Python has them."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@contextmanager
def listening(collector: Collector) -> Iterator[str]:
    """Its address, for OTLP over HTTP."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            said = {"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}
            collector.take(ExportTraceServiceRequest.FromString(body), said)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
