"""HTTP as a program without an SDK speaks it: one request, one connection, the answer taken apart."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

ENVELOPE = {"message", "type", "code", "param"}


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower case) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """What the error envelope holds; fails where the answer is anything else."""
        told = self.json
        assert set(told) == {"error"}, self
        error: dict[str, Any] = told["error"]
        assert set(error) == ENVELOPE, self
        assert isinstance(error["message"], str), self
        assert error["message"], self
        assert error["type"], self
        return error

    @property
    def request_id(self) -> str:
        """The id that every answer carries, under both of its names."""
        assert self.headers["x-request-id"].startswith("req_"), self
        assert self.headers["request-id"] == self.headers["x-request-id"], self
        return self.headers["x-request-id"]


def ask(
    url: str,
    *,
    method: str | None = None,
    body: bytes | str | None = None,
    json: object = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Answer:
    """One request: POST where there is a body. `json` is encoded, `body` is sent as it is."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    sent = dict(headers or {})
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    if json is not None:
        body = msgspec.json.encode(json)
        sent.setdefault("content-type", "application/json")
    if method is None:
        method = "GET" if body is None else "POST"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request(method, target, body=body, headers=sent)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()
