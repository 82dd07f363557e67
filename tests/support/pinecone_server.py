"""A stand-in for Pinecone: its control plane and its indexes, as the official client calls them, on loopback.

It is no Pinecone: everything is compared with everything, in dictionaries. It refuses what Pinecone's documentation
says it refuses, and shows writes only after `lag_s`. What a filter means is taken from that documentation, too.
"""

import json
import math
import operator
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API_KEY = "pinecone-key"
VERSIONS = ("2025-10", "2026-07")
METADATA_BYTES = 40_960
REQUEST_BYTES = 2_000_000
ANSWER_BYTES = 4_000_000
BOUNDS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


class Refused(Exception):
    """Not what Pinecone takes."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Index:
    """One index: records by namespace, and writes that do not show yet."""

    model: dict[str, Any]
    dimension: int
    metric: str
    spaces: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    waiting: list[tuple[float, Any]] = field(default_factory=list)


class Pinecone:
    """What the service holds, and how it behaves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.indexes: dict[str, Index] = {}
        self.url = ""
        self.lag_s = 0.0
        self.refuses_upserts_after: int | None = None
        """How many more requests with records are taken."""

    def control(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        match method, parts:
            case "GET", []:
                return 200, {"indexes": [one.model for one in self.indexes.values()]}
            case "POST", []:
                return 201, self._created(body)
            case "GET", [name]:
                return 200, self._named(name).model
            case "DELETE", [name]:
                self._named(name)
                del self.indexes[name]
                return 202, None
        raise Refused(404, f"no route {method} {parts}")

    def _created(self, body: Any) -> Any:
        name = body["name"]
        if name in self.indexes:
            raise Refused(409, "Resource already exists")
        if len(name) > 45 or not name.replace("-", "").isalnum() or name.lower() != name:
            raise Refused(400, "Name must consist of lower case alphanumeric characters or '-'")
        (values,) = body["schema"]["fields"].values()
        model = {
            "name": name,
            "host": f"{self.url}/data/{name}",
            "status": {"ready": True, "state": "Ready"},
            "schema": body["schema"],
            "deployment": body["deployment"] | {"environment": "aped-4627-b74a"},
            "deletion_protection": "disabled",
            "tags": body.get("tags"),
        }
        self.indexes[name] = Index(model, values["dimension"], values["metric"])
        return model

    def data(self, name: str, operation: str, asked: Any) -> Any:
        index = self._named(name)
        now = time.monotonic()
        while index.waiting and index.waiting[0][0] <= now:
            index.waiting.pop(0)[1]()
        space = asked.get("namespace") or "__default__"
        held = index.spaces.get(space, {})
        match operation:
            case "vectors/upsert":
                return self._upserted(index, space, asked["vectors"])
            case "vectors/delete":
                return self._deleted(index, space, asked)
            case "vectors/fetch":
                return {"namespace": space, "vectors": {one: held[one] for one in asked["ids"] if one in held}}
            case "vectors/fetch_by_metadata":
                fit = [held[key] for key in sorted(held) if fits(asked["filter"], held[key].get("metadata", {}))]
                page, following = _page(fit, asked, most=10_000)
                return {"vectors": {one["id"]: one for one in page}, "namespace": space, "pagination": following}
            case "vectors/list":
                page, following = _page([{"id": key} for key in sorted(held)], asked, most=100)
                return {"vectors": page, "namespace": space} | ({"pagination": following} if following else {})
            case "query":
                return {"matches": self._matches(index, held, asked), "namespace": space}
            case "describe_index_stats":
                counts = {name: {"vectorCount": len(kept)} for name, kept in index.spaces.items()}
                return {"namespaces": counts, "dimension": index.dimension, "indexFullness": 0}
        raise Refused(404, f"no route {operation}")

    def _upserted(self, index: Index, space: str, vectors: list[dict[str, Any]]) -> Any:
        if self.refuses_upserts_after == 0:
            raise Refused(403, "Request failed. You've reached your storage limit")
        if self.refuses_upserts_after is not None:
            self.refuses_upserts_after -= 1
        if len(vectors) > 1000:
            raise Refused(400, "You can only upsert up to 1000 vectors per request")
        for one in vectors:
            if not one["id"].isascii() or not 1 <= len(one["id"]) <= 512:
                raise Refused(400, f"Vector ID must be ASCII of 1 to 512 characters, got {one['id']!r}")
            if len(one["values"]) != index.dimension or not any(one["values"]):
                raise Refused(400, "Vector dimension does not match, or all values are zero")
            if len(json.dumps(one.get("metadata", {}), ensure_ascii=False).encode()) > METADATA_BYTES:
                raise Refused(400, "Metadata size exceeds the limit of 40960 bytes per vector")
            for value in one.get("metadata", {}).values():
                if not (isinstance(value, str | int | float) or _is_texts(value)):
                    raise Refused(400, f"Metadata value must be a string, number, boolean or list of strings: {value}")
        self._later(index, lambda: index.spaces.setdefault(space, {}).update({one["id"]: one for one in vectors}))
        return {"upsertedCount": len(vectors)}

    def _deleted(self, index: Index, space: str, asked: Any) -> Any:
        if space not in index.spaces and not index.waiting:
            raise Refused(404, "Namespace not found")

        def delete() -> None:
            held = index.spaces.setdefault(space, {})
            gone = [
                key
                for key, one in held.items()
                if asked.get("deleteAll")
                or key in asked.get("ids", ())
                or ("filter" in asked and fits(asked["filter"], one.get("metadata", {})))
            ]
            for key in gone:
                del held[key]
            if asked.get("deleteAll"):
                del index.spaces[space]

        self._later(index, delete)
        return {}

    def _matches(self, index: Index, held: dict[str, dict[str, Any]], asked: Any) -> list[Any]:
        query = asked["vector"]
        if len(query) != index.dimension:
            raise Refused(400, f"Vector dimension {len(query)} does not match the dimension of the index")
        chosen = [one for one in held.values() if fits(asked.get("filter"), one.get("metadata", {}))]
        scored = [(_score(index.metric, query, one["values"]), one) for one in chosen]
        scored.sort(key=lambda pair: pair[0] if index.metric == "euclidean" else -pair[0])
        kept = ["id", *["values"] * asked["includeValues"], *["metadata"] * asked["includeMetadata"]]
        return [{name: one[name] for name in kept} | {"score": score} for score, one in scored[: asked["topK"]]]

    def _later(self, index: Index, change: Any) -> None:
        if self.lag_s:
            index.waiting.append((time.monotonic() + self.lag_s, change))
        else:
            change()

    def _named(self, name: str) -> Index:
        if name not in self.indexes:
            raise Refused(404, f"Resource {name} not found")
        return self.indexes[name]


def fits(asked: Any, metadata: dict[str, Any]) -> bool:
    """Pinecone's filters: a list fits when one of its elements does, and `$nin` when none of them is named."""
    for name, wanted in (asked or {}).items():
        if name in ("$and", "$or"):
            if not wanted:
                raise Refused(400, f"{name} needs a condition")
            fit = (all if name == "$and" else any)(fits(one, metadata) for one in wanted)
        elif name.startswith("$"):
            raise Refused(400, f"unknown operator {name}")
        else:
            fit = all(_holds(test, bound, metadata.get(name)) for test, bound in wanted.items())
        if not fit:
            return False
    return True


def _holds(test: str, bound: Any, held: Any) -> bool:
    if test in BOUNDS:
        if not isinstance(bound, int | float):
            raise Refused(400, f"{test} takes a number")
        return isinstance(held, int | float) and not isinstance(held, bool) and bool(BOUNDS[test](held, bound))
    if test not in ("$in", "$nin") or not isinstance(bound, list) or not bound:
        raise Refused(400, f"{test} {bound!r} is not what this stand-in knows")
    elements = held if isinstance(held, list) else [] if held is None else [held]
    return any(one in bound for one in elements) == (test == "$in")


def _score(metric: str, one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    match metric:
        case "cosine":
            return product / (math.hypot(*one) * math.hypot(*other))
        case "dotproduct":
            return product
        case "euclidean":
            return math.dist(one, other) ** 2
    raise Refused(400, f"unknown metric {metric}")


def _page(chosen: list[Any], asked: Any, *, most: int) -> tuple[list[Any], Any]:
    limit = int(asked.get("limit") or 100)
    if not 1 <= limit <= most:
        raise Refused(400, f"limit must be between 1 and {most}")
    start = int(asked.get("paginationToken") or 0)
    following = {"next": str(start + limit)} if start + limit < len(chosen) else None
    return chosen[start : start + limit], following


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pinecone: Pinecone

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        self._answered({name: held if name == "ids" else held[0] for name, held in asked.items()})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        self._answered(json.loads(raw), size=len(raw))

    def do_DELETE(self) -> None:
        self._answered(None)

    def _answered(self, asked: Any, size: int = 0) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        try:
            if self.headers["api-key"] != API_KEY:
                raise Refused(401, "Invalid API Key")
            if self.headers["x-pinecone-api-version"] not in VERSIONS:
                raise Refused(400, "unknown API version")
            if size > REQUEST_BYTES:
                raise Refused(413, "Request size exceeds the limit of 2MB")
            with self.pinecone.lock:
                if parts[0] == "indexes":
                    status, value = self.pinecone.control(self.command, parts[1:], asked)
                else:
                    status, value = 200, self.pinecone.data(parts[1], "/".join(parts[2:]), asked)
        except Refused as error:
            status, value = error.status, {"code": 3, "message": str(error), "details": []}
        body = b"" if value is None else json.dumps(value).encode()
        if len(body) > ANSWER_BYTES:
            status, body = 400, b'{"code": 3, "message": "Response size exceeds the limit of 4MB", "details": []}'
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


@contextmanager
def running_pinecone() -> Iterator[Pinecone]:
    """The service on a free port of the loopback interface."""
    service = Pinecone()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"pinecone": service}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
