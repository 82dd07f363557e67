"""A stand-in for a Qdrant server: its REST routes as we use them, answered by the client's own local mode.

The bodies are read and written by the models that the official client is made of, so a request that the real server's
schema refuses is refused here. It is no Qdrant: its search is exact, and nothing survives it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models


class StandIn:
    """The state behind the routes. `fail_after` requests that write, it answers 500."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.api_key: str | None = None
        self.fail_after: int | None = None
        self.metadata: dict[str, Any] = {}

    def answer(self, method: str, path: list[str], body: bytes) -> tuple[int, Any]:
        with self.lock:
            match method, path:
                case "GET", ["collections"]:
                    return 200, self.client.get_collections()
                case "PUT", ["collections", name]:
                    return self._create(name, models.CreateCollection.model_validate_json(body))
                case _, ["collections", name, *_] if not self.client.collection_exists(name):
                    return 404, f"Not found: Collection `{name}` doesn't exist!"
                case "GET", ["collections", name]:
                    described = self.client.get_collection(name)
                    config = described.config.model_copy(update={"metadata": self.metadata.get(name)})
                    return 200, described.model_copy(update={"config": config})
                case "DELETE", ["collections", name]:
                    return 200, self.client.delete_collection(name)
                case "PUT", ["collections", name, "index"]:
                    models.CreateFieldIndex.model_validate_json(body)
                    return 200, DONE
                case _, ["collections", name, *rest]:
                    return self._points(method, name, rest, body)
            return 404, "no such route"

    def _create(self, name: str, asked: models.CreateCollection) -> tuple[int, Any]:
        if self.client.collection_exists(name):
            return 409, f"Wrong input: Collection `{name}` already exists!"
        self.metadata[name] = asked.metadata
        return 200, self.client.create_collection(
            name, vectors_config=asked.vectors, sparse_vectors_config=asked.sparse_vectors
        )

    def _points(self, method: str, name: str, rest: list[str], body: bytes) -> tuple[int, Any]:
        client = self.client
        match method, rest:
            case "PUT", ["points"]:
                if self.fail_after == 0:
                    return 500, "Service internal error: disk is full"
                if self.fail_after is not None:
                    self.fail_after -= 1
                points = models.PointsList.model_validate_json(body).points
                return 200, client.upsert(name, points)
            case "POST", ["points"]:
                wanted = models.PointRequest.model_validate_json(body)
                return 200, client.retrieve(name, wanted.ids, with_vectors=wanted.with_vector or False)
            case "POST", ["points", "delete"]:
                selector: Any = TypeAdapter(models.PointsSelector).validate_json(body)
                return 200, client.delete(name, selector)
            case "POST", ["points", "count"]:
                return 200, client.count(name, models.CountRequest.model_validate_json(body).filter, exact=True)
            case "POST", ["points", "scroll"]:
                page = models.ScrollRequest.model_validate_json(body)
                found, following = client.scroll(
                    name, page.filter, page.limit or 10, offset=page.offset, with_vectors=page.with_vector or False
                )
                return 200, models.ScrollResult(points=found, next_page_offset=following)
            case "POST", ["points", "query", "batch"]:
                searches = models.QueryRequestBatch.model_validate_json(body).searches
                return 200, client.query_batch_points(name, searches)
            case "POST", ["facet"]:
                facet = models.FacetRequest.model_validate_json(body)
                return 200, client.facet(name, facet.key, facet.filter, facet.limit or 10, exact=True)
        return 404, "no such route"


DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


@contextmanager
def running_stand_in() -> Iterator[tuple[StandIn, str]]:
    """The state, and the address to reach it at."""
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = [part for part in urlsplit(self.path).path.split("/") if part]
            if state.api_key is not None and self.headers.get("api-key") != state.api_key:
                status, result = 401, "Must provide an API key or an Authorization bearer token"
            else:
                status, result = state.answer(self.command, path, body)
            shape = {"status": "ok", "time": 0.0} if status == 200 else {"status": {"error": result}, "time": 0.0}
            answer = msgspec.json.encode(shape | ({"result": _plain(result)} if status == 200 else {}))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - the server's names

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        state.client.close()


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(each) for each in result]
    return result.model_dump(mode="json") if hasattr(result, "model_dump") else result
