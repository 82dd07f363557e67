"""Real requests to a version that nobody is sent to yet, through its side door."""

import json
import socket
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from undercroft.api.version_control import connect
from undercroft.hosting.types import Gate

LOOK_EVERY_S: Final = 0.1
ANSWER_S: Final = 10.0
CALL_S: Final = 120.0
PROMPT: Final = "Answer with one word: ready?"


class SideDoor(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock: socket.socket = connect(self._path, timeout_s=self.timeout or ANSWER_S)


def try_out(path: Path, gate: Gate, *, within_s: float) -> str:
    """What is wrong with the version behind `path`; empty when health, readiness and a call are as they should be."""
    deadline = time.monotonic() + within_s
    while True:
        status, text = _ask(path, "GET", "/health/ready", gate, timeout_s=ANSWER_S)
        if status == 200:
            break
        if time.monotonic() > deadline:
            return f"it did not become ready within {within_s:.0f} s: {_told(status, text)}"
        time.sleep(LOOK_EVERY_S)
    for route in ("/health/live", "/health"):
        status, text = _ask(path, "GET", route, gate, timeout_s=ANSWER_S)
        if status != 200:
            return f"{route} answers {_told(status, text)}"
    return _call(path, gate) if gate.calls else ""


def _call(path: Path, gate: Gate) -> str:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 8}
    if gate.model is not None:
        body["model"] = gate.model
    status, text = _ask(path, "POST", "/v1/chat/completions", gate, timeout_s=CALL_S, body=body)
    if status == 200:
        return ""
    if status in (401, 403):
        return f"a call is answered {_told(status, text)}; say with which key it may call: [deploy.host] probe_key"
    return f"a call is answered {_told(status, text)}"


def _ask(
    path: Path, method: str, route: str, gate: Gate, *, timeout_s: float, body: dict[str, Any] | None = None
) -> tuple[int, str]:
    """Status and text; 0 where there was no answer."""
    headers = {"content-type": "application/json"}
    if gate.key is not None:
        headers["authorization"] = f"Bearer {gate.key}"
    door = SideDoor(path, timeout_s=timeout_s)
    try:
        door.request(method, route, None if body is None else json.dumps(body), headers)
        answer = door.getresponse()
        return answer.status, answer.read(65_536).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        door.close()


def _told(status: int, text: str) -> str:
    return f"{status or 'nothing'} ({' '.join(text.split())[:300]})"
