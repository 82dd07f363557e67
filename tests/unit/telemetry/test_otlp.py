"""Spans reach a collector over HTTP and gRPC; one that is away costs spans, which are counted."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from tests.support.collector import Collector, listening
from undercroft.errors import ConfigurationError
from undercroft.telemetry.otlp import Exporter, Undeliverable, traces_url, transport
from undercroft.telemetry.otlp_bytes import export_request
from undercroft.telemetry.spans import Span

SPAN = Span(
    trace="4bf92f3577b34da6a3ce929d0e0e4736",
    id="00f067aa0ba902b7",
    parent="00f067aa0ba902b8",
    name="chat gpt-x",
    kind="client",
    started_us=1_000_000,
    ended_us=1_500_000,
    error="upstream_timeout",
    attributes={"gen_ai.request.model": "gpt-x", "tokens": 5, "share": 0.5, "gen_ai.request.stream": True},
)
RESOURCE = {"service.name": "undercroft"}


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def over_http(collector: Collector) -> Iterator[str]:
    with listening(collector) as address:
        yield address


@pytest.fixture
def over_grpc(collector: Collector) -> Iterator[str]:
    class Door(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
            collector.take(request, dict(context.invocation_metadata()))
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add: Any = add_TraceServiceServicer_to_server
    add(Door(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(0).wait()


def test_spans_arrive_over_http(collector: Collector, over_http: str) -> None:
    exporter = Exporter(transport(over_http, "http", {"authorization": "Bearer t"}), resource=RESOURCE)
    exporter.offer(lambda: [SPAN], 1)
    exporter.close()
    assert collector.said[0]["path"] == "/v1/traces"
    assert collector.said[0]["authorization"] == "Bearer t"
    check(collector.requests)
    assert exporter.dropped == 0


def test_spans_arrive_over_grpc(collector: Collector, over_grpc: str) -> None:
    exporter = Exporter(transport(over_grpc, "grpc", {"Authorization": "Bearer t"}), resource=RESOURCE)
    exporter.offer(lambda: [SPAN], 1)
    exporter.close()
    assert collector.said[0]["authorization"] == "Bearer t"
    check(collector.requests)


def check(requests: list[ExportTraceServiceRequest]) -> None:
    (request,) = requests
    (resource,) = request.resource_spans
    assert {each.key: each.value.string_value for each in resource.resource.attributes} == RESOURCE
    (span,) = resource.scope_spans[0].spans
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == (SPAN.trace, SPAN.id, SPAN.parent)
    assert (span.name, span.kind) == ("chat gpt-x", 3)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000_000_000, 1_500_000_000)
    assert (span.status.code, span.status.message) == (2, "upstream_timeout")
    found = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
    assert found == SPAN.attributes


def test_a_collector_that_is_away_costs_spans_and_they_are_counted() -> None:
    exporter = Exporter(transport("http://127.0.0.1:9", "http", {}), resource=RESOURCE)
    for _ in range(3):
        exporter.offer(lambda: [SPAN], 1)
    exporter.close()
    assert exporter.dropped == 3


class Stuck:
    """A collector that has taken the connection and says nothing."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.freed = threading.Event()

    def send(self, request: bytes, /) -> None:
        self.asked.set()
        self.freed.wait(30)
        raise Undeliverable("silence")

    def close(self) -> None: ...


def test_a_collector_that_is_stuck_fills_the_queue_and_no_further() -> None:
    stuck = Stuck()
    exporter = Exporter(stuck, resource=RESOURCE, capacity=10)
    exporter.offer(lambda: [SPAN], 1)
    assert stuck.asked.wait(30)
    for _ in range(25):
        exporter.offer(lambda: [SPAN], 1)
    assert exporter.dropped == 15
    stuck.freed.set()
    exporter.close(timeout_s=30)
    assert exporter.dropped == 26


def test_the_address_is_a_base_below_which_traces_go() -> None:
    assert traces_url("http://c:4318") == traces_url("http://c:4318/") == "http://c:4318/v1/traces"
    assert traces_url("http://c/own/v1/traces") == "http://c/own/v1/traces"


def test_what_is_no_address_is_refused_with_one_that_is() -> None:
    with pytest.raises(ConfigurationError, match="collector:4317"):
        transport("collector:4317", "grpc", {})


def test_an_export_names_the_conventions_it_follows() -> None:
    request = ExportTraceServiceRequest.FromString(export_request([SPAN], RESOURCE))
    assert request.resource_spans[0].schema_url == "https://opentelemetry.io/schemas/1.37.0"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
numbers = st.integers(-(2**63), 2**63 - 1)
values = texts | numbers | st.booleans() | st.floats(allow_nan=False)


@given(
    name=texts,
    error=texts,
    attributes=st.dictionaries(texts, values, max_size=5),
    times=st.tuples(*[st.integers(0, 2**53)] * 2),
)
def test_whatever_a_span_says_is_read_again(
    name: str, error: str, attributes: dict[str, Any], times: tuple[int, int]
) -> None:
    made = msgspec.structs.replace(
        SPAN, name=name, error=error, attributes=attributes, started_us=times[0], ended_us=times[1], parent=""
    )
    request = ExportTraceServiceRequest.FromString(export_request([made, SPAN], RESOURCE))
    (span, _) = request.resource_spans[0].scope_spans[0].spans
    assert (span.name, span.parent_span_id) == (name, b"")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (times[0] * 1000, times[1] * 1000)
    assert (span.status.code, span.status.message) == ((2, error) if error else (0, ""))
    assert {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes} == attributes
