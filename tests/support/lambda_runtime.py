"""AWS Lambda as a function sees it: the Runtime API on loopback, in front of AWS's own runtime interface client."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 60.0


class Function:
    """A function whose process runs, and asks for events."""

    def __init__(self, runtime: "_Runtime", process: "subprocess.Popen[bytes]", started: float) -> None:
        self._runtime = runtime
        self._number = 0
        self.process = process
        self.started = started
        """When its process was made (monotonic)."""

    def ask(
        self, path: str, body: object = None, *, method: str | None = None, key: str = "", peer: str = "192.0.2.7"
    ) -> tuple[int, Any]:
        """One event as a function URL sends it: the answer's status, and its body as JSON or text."""
        self._number += 1
        identity = f"event-{self._number}"
        self._runtime.events.put((identity, url_event(path, body, method=method, key=key, peer=peer)))
        deadline = time.monotonic() + PATIENCE_S
        while identity not in self._runtime.answers:
            assert self.process.poll() is None, f"the function ended with {self.process.returncode}"
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.001)
        kind, raw = self._runtime.answers[identity]
        assert kind == "response", raw
        answer = json.loads(raw)
        text = answer["body"]
        is_json = answer["headers"].get("content-type", "").startswith("application/json")
        return answer["statusCode"], json.loads(text) if is_json else text

    def kill(self) -> None:
        """As Lambda ends a function: without a word."""
        self.process.kill()
        self.process.wait()


@contextmanager
def function(
    folder: Path,
    handler: str = "handler.handler",
    *,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Function]:
    """A function made from the code in `folder`. Its environment is Lambda's: nothing of this shell's is in it."""
    runtime = _Runtime()
    server = ThreadingHTTPServer(("127.0.0.1", 0), runtime.requests)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {
        "PATH": os.defpath,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "ai-api",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_REGION": "eu-central-1",
        "LAMBDA_TASK_ROOT": str(folder),
        "_HANDLER": handler,
        **(environment or {}),
    }
    started = time.monotonic()
    process = subprocess.Popen([python, "-m", "awslambdaric", handler], cwd=folder, env=variables)
    try:
        yield Function(runtime, process, started)
    finally:
        process.kill()
        process.wait()
        runtime.events.put(None)
        server.shutdown()
        server.server_close()


def url_event(
    path: str, body: object = None, *, method: str | None = None, key: str = "", peer: str = "192.0.2.7"
) -> dict[str, Any]:
    """The event of a function URL or an HTTP API (payload format 2.0)."""
    parts = urlsplit(path)
    headers = {"host": "example.lambda-url.test", "content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": headers,
        "requestContext": {
            "http": {
                "method": method or ("GET" if body is None else "POST"),
                "path": parts.path,
                "protocol": "HTTP/1.1",
                "sourceIp": peer,
                "userAgent": "test",
            },
            "stage": "$default",
            "requestId": "1",
            "domainName": "example.lambda-url.test",
            "accountId": "0",
            "apiId": "example",
            "domainPrefix": "example",
            "routeKey": "$default",
            "time": "",
            "timeEpoch": 0,
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


class _Runtime:
    """Hands out events and takes answers, as https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html has it."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, Any] | None] = queue.Queue()
        self.answers: dict[str, tuple[str, bytes]] = {}
        runtime = self

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                if (event := runtime.events.get()) is None:
                    self.close_connection = True
                    return
                identity, content = event
                self._answer(
                    200,
                    json.dumps(content).encode(),
                    {
                        "Lambda-Runtime-Aws-Request-Id": identity,
                        "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 60) * 1000)),  # noqa: TID251 - as AWS does
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:0:function:ai-api",
                        "Content-Type": "application/json",
                    },
                )

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                *_, identity, kind = self.path.split("/")
                runtime.answers[identity] = (kind, content)
                self._answer(202, b"", {})

            def _answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

        self.requests = Requests
