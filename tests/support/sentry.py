"""A Sentry that keeps what it is sent."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Envelopes:
    """What came."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    @contextmanager
    def listening(self, key: str = "public") -> Iterator[str]:
        """Its DSN."""
        bodies = self.bodies

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                is_packed = self.headers.get("content-encoding") == "gzip"
                bodies.append((gzip.decompress(body) if is_packed else body).decode())
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{key}@127.0.0.1:{server.server_port}/1"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
