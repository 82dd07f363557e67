"""A stand-in for a Weaviate server: its REST schema and its gRPC service, as the official client calls them.

It is no Weaviate: everything is compared with everything, in dictionaries. What it shows is that the requests our
store makes are well-formed for Weaviate's interface and that the answers are read rightly.
"""

import json
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from weaviate.proto.v1.v6300.v1 import (
    aggregate_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    properties_pb2,
    search_get_pb2,
    tenants_pb2,
    weaviate_pb2_grpc,
)

from tests.support.weaviate_classes import MAXIMUM_RESULTS, Class, Kept, Refused

VERSION = "1.33.4"
API_KEY = "weaviate-key"
HNSW = {
    "cleanupIntervalSeconds": 300,
    "distance": "cosine",
    "dynamicEfFactor": 8,
    "dynamicEfMax": 500,
    "dynamicEfMin": 100,
    "ef": -1,
    "efConstruction": 128,
    "flatSearchCutoff": 40000,
    "maxConnections": 32,
    "skip": False,
    "vectorCacheMaxObjects": 10**12,
}
"""What a server adds to an index that is made."""
PROPERTY = {"indexFilterable": True, "indexSearchable": False, "indexRangeFilters": False}
FLAT = {"distance": "cosine", "vectorCacheMaxObjects": 10**12}


class Weaviate:
    """What the server holds, what it was asked, and how it fails."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.classes: dict[str, Class] = {}
        self.url = ""
        self.grpc_port = 0
        self.fails_objects: Callable[[str], bool] = lambda _uuid: False
        """Which objects of a batch the server cannot store."""
        self.graph_hides = 0
        """How many of the nearest a filtered vector search overlooks, as a badly connected graph does."""

    def named(self, name: str) -> Class:
        if name not in self.classes:
            raise Refused(f"could not find class {name} in schema")
        return self.classes[name]


class _Service(weaviate_pb2_grpc.WeaviateServicer):
    def __init__(self, server: Weaviate) -> None:
        self._server = server

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the protocol names it
        with self._asked(context):
            held = self._server.named(request.collection)
            chosen = held.chosen(request.tenant, request.filters if request.HasField("filters") else None)
            limit = request.limit or 10
            if limit + request.offset > MAXIMUM_RESULTS:
                raise Refused("query maximum results exceeded")
            if request.HasField("near_vector"):
                found = self._near(held, request, chosen)
            elif request.HasField("bm25_search"):
                everything = held.chosen(request.tenant, None)
                (name,) = request.bm25_search.properties
                found = held.weights(request.bm25_search.query, name, chosen, everything)
                found.sort(key=lambda pair: -pair[0])
            else:
                if request.after and request.HasField("filters"):
                    raise Refused("where cannot be set with after and limit parameters")
                found = [(0.0, one) for one in chosen if one.uuid > request.after]
            return search_get_pb2.SearchReply(
                results=[_result(request, near, one) for near, one in found[request.offset : request.offset + limit]]
            )

    def _near(self, held: Class, request: Any, chosen: list[Kept]) -> list[tuple[float, Kept]]:
        asked = request.near_vector
        raw = asked.vectors[0].vector_bytes if asked.vectors else asked.vector_bytes
        scored = [(held.distance(_floats(raw), one), one) for one in chosen]
        scored.sort(key=lambda pair: pair[0])
        return scored[self._server.graph_hides if request.HasField("filters") else 0 :]

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._asked(context):
            errors = []
            for index, sent in enumerate(request.objects):
                raw = sent.vectors[0].vector_bytes if sent.vectors else sent.vector_bytes
                properties = dict(sent.properties.non_ref_properties)
                properties |= {one.prop_name: list(one.values) for one in sent.properties.text_array_properties}
                properties |= {name: [] for name in sent.properties.empty_list_props}
                try:
                    if self._server.fails_objects(sent.uuid):
                        raise Refused("disk is full")
                    self._server.named(sent.collection).put(sent.tenant, Kept(sent.uuid, properties, _floats(raw)))
                except Refused as error:
                    errors.append(batch_pb2.BatchObjectsReply.BatchError(index=index, error=str(error)))
            return batch_pb2.BatchObjectsReply(errors=errors)

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._asked(context):
            held = self._server.named(request.collection)
            chosen = held.chosen(request.tenant, request.filters)[:MAXIMUM_RESULTS]
            for one in chosen:
                del held.tenants[request.tenant][one.uuid]
            return batch_delete_pb2.BatchDeleteReply(matches=len(chosen), successful=len(chosen), failed=0)

    def TenantsGet(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._asked(context):
            held = self._server.named(request.collection)
            names = request.names.values if request.HasField("names") else held.tenants
            there = [name for name in names if name in held.tenants]
            status = tenants_pb2.TENANT_ACTIVITY_STATUS_HOT
            return tenants_pb2.TenantsGetReply(
                tenants=[tenants_pb2.Tenant(name=name, activity_status=status) for name in there]
            )

    def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._asked(context):
            held = self._server.named(request.collection)
            chosen = held.chosen(request.tenant, request.filters if request.HasField("filters") else None)
            single = aggregate_pb2.AggregateReply.Single(objects_count=len(chosen))
            return aggregate_pb2.AggregateReply(single_result=single)

    @contextmanager
    def _asked(self, context: Any) -> Iterator[None]:
        told = dict(context.invocation_metadata())
        if told.get("authorization") != f"Bearer {API_KEY}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "anonymous access not enabled")
        with self._server.lock:
            try:
                yield
            except Refused as error:
                context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _result(request: Any, near: float, one: Kept) -> Any:
    told = search_get_pb2.MetadataResult(id=one.uuid, id_as_bytes=uuid.UUID(one.uuid).bytes)
    if request.metadata.vector:
        told.vector_bytes = struct.pack(f"<{len(one.vector)}f", *one.vector)
    if request.metadata.vector or request.metadata.vectors:
        told.vectors.add(name="default", vector_bytes=struct.pack(f"<{len(one.vector)}f", *one.vector))
    if request.metadata.distance:
        told.distance, told.distance_present = near, True
    if request.metadata.score:
        told.score, told.score_present = near, True
    fields = {}
    for name in request.properties.non_ref_properties:
        value = one.properties.get(name)
        fields[name] = (
            properties_pb2.Value(null_value="NULL_VALUE") if value is None else properties_pb2.Value(text_value=value)
        )
    properties = search_get_pb2.PropertiesResult(non_ref_props=properties_pb2.Properties(fields=fields))
    return search_get_pb2.SearchResult(metadata=told, properties=properties)


def _floats(raw: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


class _Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    weaviate: Weaviate

    def do_GET(self) -> None:
        with self.weaviate.lock:
            match self.path.removeprefix("/v1").strip("/").split("/"):
                case ["meta"]:
                    self._answer(200, {"version": VERSION, "hostname": "http://[::]:8080", "modules": {}})
                case [".well-known", "openid-configuration"]:
                    self._answer(404)
                case ["schema"]:
                    self._answer(200, {"classes": [one.schema for one in self.weaviate.classes.values()]})
                case ["schema", name] if name in self.weaviate.classes:
                    self._answer(200, self.weaviate.classes[name].schema)
                case _:
                    self._answer(404)

    def do_POST(self) -> None:
        body = self._body()
        with self.weaviate.lock:
            match self.path.removeprefix("/v1").strip("/").split("/"):
                case ["schema"] if body["class"] in self.weaviate.classes:
                    self._answer(422, {"error": [{"message": f"class name {body['class']} already exists"}]})
                case ["schema"]:
                    index = body["vectorConfig"]["default"]
                    defaults = HNSW if index["vectorIndexType"] == "hnsw" else FLAT
                    index["vectorIndexConfig"] = defaults | index["vectorIndexConfig"]
                    body["properties"] = [PROPERTY | one for one in body["properties"]]
                    self.weaviate.classes[body["class"]] = Class(body)
                    self._answer(200, body)
                case ["schema", name, "properties"]:
                    properties = self.weaviate.classes[name].schema["properties"]
                    if body["name"] in [one["name"] for one in properties]:
                        self._answer(422, {"error": [{"message": "class already has property"}]})
                    else:
                        properties.append(PROPERTY | body)
                        self._answer(200, body)
                case _:
                    self._answer(404)

    def do_DELETE(self) -> None:
        body = self._body()
        with self.weaviate.lock:
            match self.path.removeprefix("/v1").strip("/").split("/"):
                case ["schema", name]:
                    self.weaviate.classes.pop(name, None)
                    self._answer(200)
                case ["schema", name, "tenants"]:
                    for tenant in body:
                        self.weaviate.classes[name].tenants.pop(tenant, None)
                    self._answer(200)
                case _:
                    self._answer(404)

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"null")

    def _answer(self, status: int, value: Any = None) -> None:
        if status == 200 and self.path != "/v1/meta" and self.headers["authorization"] != f"Bearer {API_KEY}":
            status, value = 401, {"error": [{"message": "anonymous access not enabled"}]}
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


@contextmanager
def running_weaviate() -> Iterator[Weaviate]:
    """A server on two free ports of the loopback interface."""
    server = Weaviate()
    service = grpc.server(ThreadPoolExecutor(8))
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(_Service(server), service)  # type: ignore[no-untyped-call]
    serving = health_weaviate_pb2.WeaviateHealthCheckResponse(status="SERVING").SerializeToString()
    health = {"Check": grpc.unary_unary_rpc_method_handler(lambda _request, _context: serving)}
    service.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),))
    server.grpc_port = service.add_insecure_port("127.0.0.1:0")
    service.start()
    rest = ThreadingHTTPServer(("127.0.0.1", 0), type("Rest", (_Rest,), {"weaviate": server}))
    rest.daemon_threads = True
    thread = threading.Thread(target=rest.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{rest.server_address[1]}"
    try:
        yield server
    finally:
        rest.shutdown()
        rest.server_close()
        thread.join()
        service.stop(None).wait()
