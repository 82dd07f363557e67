"""Batches as tests order them over HTTP."""

from typing import Any

import msgspec

from tests.support.server import Server, until

CHAT = "/v1/chat/completions"
ENDED = {"completed", "failed", "expired", "cancelled"}


def line(custom_id: str, *, model: str = "chat") -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return msgspec.json.encode({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body})


def lines(count: int, *, model: str = "chat") -> bytes:
    return b"\n".join(line(f"line-{number}", model=model) for number in range(count))


def upload(server: Server, data: bytes, *, key: str | None = None) -> str:
    form = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    form += b'--x\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n' + data + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = server.ask("/v1/files", method="POST", body=form, headers=headers, key=key)
    assert answer.status == 200, answer
    return str(answer.json["id"])


def order(server: Server, data: bytes, *, key: str | None = None) -> str:
    """The id of a batch of these lines."""
    asked = {"input_file_id": upload(server, data, key=key), "endpoint": CHAT, "completion_window": "24h"}
    answer = server.ask("/v1/batches", json=asked, key=key)
    assert answer.status == 200, answer
    return str(answer.json["id"])


def found(server: Server, batch: str) -> dict[str, Any]:
    told: dict[str, Any] = server.ask(f"/v1/batches/{batch}").json
    return told


def finished(server: Server, batch: str) -> dict[str, Any]:
    """The batch, once it has ended."""
    until(lambda: found(server, batch)["status"] in ENDED, within_s=120, every_s=0.1)
    return found(server, batch)


def lines_of(server: Server, file: str | None) -> dict[str, dict[str, Any]]:
    """What a file of a batch says, by custom id; each is there once."""
    if file is None:
        return {}
    read = [msgspec.json.decode(each) for each in server.ask(f"/v1/files/{file}/content").body.splitlines()]
    assert len({each["custom_id"] for each in read}) == len(read)
    return {each["custom_id"]: each for each in read}
