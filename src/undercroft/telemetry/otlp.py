"""Sends spans to an OpenTelemetry collector: OTLP over HTTP or gRPC, from a thread of its own.

HTTP needs nothing more; gRPC needs the extra `otel`.
"""

import sys
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from undercroft.errors import ConfigurationError, MissingExtra
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.otlp_bytes import export_request
from undercroft.telemetry.spans import Span

CAPACITY: Final = 20_000
"""Spans that wait for a slow collector; further ones are dropped and counted."""
BATCH: Final = 512
PAUSE_S: Final = 1.0
TIMEOUT_S: Final = 5.0
EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SERVICE: Final = "undercroft"

Make = Callable[[], Sequence[Span]]


class Undeliverable(Exception):
    """The collector did not take a batch."""


class Transport(Protocol):
    """One way to a collector. Raises Undeliverable."""

    def send(self, request: bytes, /) -> None: ...
    def close(self) -> None: ...


class OverHttp:
    """`POST /v1/traces` with Protobuf."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        self._url = traces_url(endpoint)
        self._headers = {"content-type": "application/x-protobuf", **headers}

    def send(self, request: bytes, /) -> None:
        asked = urllib.request.Request(self._url, request, self._headers)  # noqa: S310 - the same address
        try:
            with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the operator's address
                answer.read(65_536)
        except (OSError, ValueError) as error:  # refused, slow, gone, or not HTTP
            raise Undeliverable(str(error)) from error

    def close(self) -> None:
        """Nothing is held."""


class OverGrpc:
    """The collector's TraceService."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        import grpc

        scheme, _, address = endpoint.rpartition("://")
        if scheme == "https":
            self._channel: Any = grpc.secure_channel(address, grpc.ssl_channel_credentials())
        else:
            self._channel = grpc.insecure_channel(address)
        self._metadata = [(name.lower(), value) for name, value in headers.items()]
        self._export = self._channel.unary_unary(EXPORT)  # bytes go and come as they are
        self._error: type[Exception] = grpc.RpcError

    def send(self, request: bytes, /) -> None:
        try:
            self._export(request, timeout=TIMEOUT_S, metadata=self._metadata)
        except self._error as error:
            raise Undeliverable(str(error)) from error

    def close(self) -> None:
        self._channel.close()


def traces_url(endpoint: str) -> str:
    """OTEL_EXPORTER_OTLP_ENDPOINT is a base, below which the traces' path is."""
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


def transport(endpoint: str, protocol: Literal["http", "grpc"], headers: Mapping[str, str]) -> Transport:
    """Raises ConfigurationError for an address that is none, and MissingExtra."""
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"[telemetry] otlp_endpoint is {endpoint!r}, which is no address.", hint="Write http://collector:4318."
        )
    if protocol == "http":
        return OverHttp(endpoint, headers)
    try:
        return OverGrpc(endpoint, headers)
    except ImportError as error:
        raise MissingExtra('[telemetry] otlp_protocol = "grpc"', extra="otel") from error


class Exporter:
    """Takes spans from the event loop and sends them from a thread; a collector that is away costs spans, not calls."""

    def __init__(self, transport: Transport, *, resource: Mapping[str, str], capacity: int = CAPACITY) -> None:
        self._transport = transport
        self._resource = resource
        self._capacity = capacity
        self._waiting: deque[tuple[Make, int]] = deque()
        self._count = 0
        self._dropped = 0
        self._lost = 0
        self._wake = threading.Event()
        self._closing = False
        self._counting = threading.Lock()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    most_at_once: Final = sys.maxsize
    """What there is no room for is counted."""

    @property
    def dropped(self) -> int:
        """Spans lost so far."""
        return self._dropped + self._lost

    def offer(self, make: Make, count: int, /) -> None:
        """Takes spans to be made; returns at once."""
        with self._counting:
            if self._count + count > self._capacity:
                self._dropped += count
                return
            self._count += count
        self._waiting.append((make, count))

    def close(self, *, timeout_s: float = 3.0) -> None:
        """Sends what is left, as far as that goes in the time."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        self._transport.close()

    def _run(self) -> None:
        while True:
            self._wake.wait(PAUSE_S)
            closing = self._closing
            while self._waiting:
                self._send()
            if closing:
                return

    def _send(self) -> None:
        spans: list[Span] = []
        taken = 0
        while self._waiting and len(spans) < BATCH:
            make, count = self._waiting.popleft()
            spans += make()
            taken += count
        with self._counting:
            self._count -= taken
        try:
            self._transport.send(export_request(spans, self._resource))
        except Undeliverable as error:
            self._lost += len(spans)
            if not self._is_away:
                get_logger("undercroft.traces").warning("collector_is_away", reason=str(error))
            self._is_away = True
        else:
            if self._is_away:
                get_logger("undercroft.traces").info("collector_is_back", lost=self._lost)
            self._is_away = False
