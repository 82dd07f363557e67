"""A model provider on loopback that misbehaves on request: an OpenAI wire whose behaviour is chosen by model name.

An answer is a list of steps: bytes to write, seconds to pause, or a `Do`. A new fault is a new entry in `ANSWERS`.
"""

import asyncio
import enum
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from tests.support.responses_upstream import responses_answer

LOOPBACK_PEM = Path(__file__).with_name("loopback.pem")
"""Key and self-signed certificate for localhost and 127.0.0.1, of no worth anywhere else."""


class Do(enum.Enum):
    """What an upstream does besides writing and pausing."""

    RESET = enum.auto()
    CLOSE = enum.auto()
    HANG = enum.auto()


Step = bytes | float | Do


class Request(msgspec.Struct):
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    number: int
    """How many came on the same connection before it."""

    @property
    def json(self) -> dict[str, Any]:
        fields = msgspec.json.decode(self.body)
        return fields if isinstance(fields, dict) else {}

    @property
    def model(self) -> str:
        return str(self.json.get("model", "")) if self.body[:1] == b"{" else ""


Answer = Callable[[Request], Iterable[Step]]


class Peer(asyncio.Protocol):
    """One client's connection."""

    transport: asyncio.Transport

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._received = b""
        self._closing = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answering: asyncio.Task[None] | None = None
        self.requests: list[Request] = []
        self.sent_bytes = 0
        self.closed = asyncio.Event()
        self.closed_by_client = False
        """The client left; false when it was this side that closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._upstream.peers.append(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = (field.partition(":") for field in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        size = int(headers.get("content-length", 0))
        if len(rest) < size:
            return
        self._received = rest[size:]
        request = Request(path=line.split(" ")[1], headers=headers, body=rest[:size], number=len(self.requests))
        self.requests.append(request)
        self._answering = asyncio.get_running_loop().create_task(self._answer(request))

    def pause_writing(self) -> None:
        self._flowing.clear()

    def resume_writing(self) -> None:
        self._flowing.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.closed_by_client = not self._closing
        if self._answering is not None:
            self._answering.cancel()

    async def _answer(self, request: Request) -> None:
        self._upstream.running += 1
        try:
            for step in self._upstream.steps(request):
                await self._do(step)
        finally:
            self._upstream.running -= 1

    async def _do(self, step: Step) -> None:
        if isinstance(step, bytes):
            await self._flowing.wait()
            self.transport.write(step)
            self.sent_bytes += len(step)
            await asyncio.sleep(0)  # what is written at once arrives at once: let each piece go
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif step is Do.HANG:
            await asyncio.get_running_loop().create_future()
        else:
            self.close(reset=step is Do.RESET)

    def close(self, *, reset: bool = False) -> None:
        """Ends the connection from this side; a reset throws away what was not read."""
        self._closing = True
        if self.transport.is_closing():
            return
        if reset:
            connected: socket.socket = self.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()


class Upstream:
    """The listening provider. `answers` holds a test's own behaviours, by model name or path."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.otherwise: Answer | None = None
        """Answers for every name that is not in `answers`, where a test brings a table of its own."""
        self.peers: list[Peer] = []
        self.running = 0
        """Answers that are being given now."""
        self.origin_url = ""

    @property
    def base_url(self) -> str:
        return f"{self.origin_url}/v1"

    @property
    def requests(self) -> list[Request]:
        return [request for peer in self.peers for request in peer.requests]

    def steps(self, request: Request) -> Iterable[Step]:
        for table in (self.answers, ANSWERS):
            for key in (request.model, request.path):
                if key in table:
                    return table[key](request)
            if self.otherwise is not None:
                return self.otherwise(request)
        return well_behaved(request)


@asynccontextmanager
async def running_upstream(
    *,
    host: str = "127.0.0.1",
    tls: bool = False,
    unix_path: str | None = None,
    pem: Path = LOOPBACK_PEM,
    upstream: Upstream | None = None,
) -> AsyncGenerator[Upstream, None]:
    """An upstream on a free port (or a unix socket) of this loop: of OpenAI's wire, unless another is given."""
    upstream = upstream or Upstream()
    loop = asyncio.get_running_loop()
    if unix_path is not None:
        server = await loop.create_unix_server(lambda: Peer(upstream), unix_path)
        upstream.origin_url = f"unix:{unix_path}"
    else:
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
        server = await loop.create_server(lambda: Peer(upstream), host, 0, ssl=context)
        name = f"[{host}]" if ":" in host else host
        upstream.origin_url = f"{'https' if tls else 'http'}://{name}:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        for peer in upstream.peers:
            peer.transport.abort()
            await peer.closed.wait()


# --- HTTP -------------------------------------------------------------------------------------------------------------


def response(
    body: bytes | str, *, status: str = "200 OK", content_type: str = "application/json", fields: str = ""
) -> bytes:
    """A whole answer with its length; `fields` are further header lines, each with its line end."""
    content = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(content)}\r\n{fields}\r\n"
    return head.encode("latin-1") + content


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body; of an empty payload the last one."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


def event(payload: object) -> bytes:
    """A server-sent event as a chunk of its own."""
    return chunk(b"data: %b\n\n" % msgspec.json.encode(payload))


DONE = chunk(b"data: [DONE]\n\n") + chunk(b"")


# --- OpenAI's wire ----------------------------------------------------------------------------------------------------

_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def delta(text: str = "", *, index: int = 0, finish_reason: str | None = None, **said: object) -> dict[str, object]:
    """One piece of a streamed chat answer."""
    content = {"content": text} if text else {}
    choice = {"index": index, "delta": {**content, **said}, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake-1", "choices": [choice],
    }  # fmt: skip


def usage(output: int, *, prompt: int = 7) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def well_behaved(request: Request) -> Iterable[Step]:
    """Answers as the format says: whole or streamed, with limits, stops, choices, tools and usage."""
    fields = request.json
    if request.path.endswith("/embeddings"):
        return _embeddings(fields)
    if request.path.endswith("/moderations"):
        return _moderations(fields)
    if request.path.endswith("/responses"):
        return responses_answer(request)
    is_chat = request.path.endswith("/chat/completions")
    if is_chat and not fields.get("messages"):
        return [error_response("400 Bad Request", "messages must not be empty", param="messages")]
    prompts = fields["messages"] if is_chat else fields["prompt"]
    asked = str(prompts)
    texts, reason = _texts(fields, words=400 if "long" in asked else 10)
    count = fields.get("n", 1) * (1 if is_chat or isinstance(prompts, str) else len(prompts))
    if (fields.get("response_format") or {}).get("type") == "json_schema":
        texts = ['{"city": ', '"Paris"}']
    if fields.get("stream"):
        return _stream(fields, texts, reason, count, is_chat=is_chat)
    pause_s = 0.001 * len(texts)
    message: dict[str, object] = {"role": "assistant", "content": "".join(texts)}
    if fields.get("tool_choice") == "required":
        called = {"name": fields["tools"][0]["function"]["name"], "arguments": '{"city": "Paris"}'}
        message = {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": called}]}
        reason = "tool_calls"
    said = {"message": message} if is_chat else {"text": "".join(texts)}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion" if is_chat else "text_completion",
        "created": 1,
        "model": "fake-1",
        "choices": [{"index": index, **said, "finish_reason": reason} for index in range(count)],
        "usage": usage(len(texts) * count),
    }
    return [pause_s, response(msgspec.json.encode(answer))]


def _texts(fields: dict[str, Any], *, words: int) -> tuple[list[str], str]:
    """The answer's words and why it ends."""
    texts = [_WORDS[0], *(f" {_WORDS[position % 10]}" for position in range(1, words))]
    reason = "stop"
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if limit is not None and limit < len(texts):
        texts, reason = texts[:limit], "length"
    stops = fields.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text, found, _ = "".join(texts).partition(stop)
        if found:
            texts, reason = [text], "stop"
    return texts, reason


def _stream(fields: dict[str, Any], texts: list[str], reason: str, count: int, *, is_chat: bool) -> Iterable[Step]:
    def piece(text: str, index: int, finish_reason: str | None = None, **said: object) -> bytes:
        if is_chat:
            return event(delta(text, index=index, finish_reason=finish_reason, **said))
        choice = {"index": index, "text": text, "finish_reason": finish_reason}
        return event(
            {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "fake-1", "choices": [choice]}
        )

    yield STREAM_HEAD
    if is_chat:
        yield from (piece("", index, role="assistant") for index in range(count))
    if fields.get("tool_choice") == "required":
        name = fields["tools"][0]["function"]["name"]
        opening = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
        yield piece("", 0, tool_calls=[opening])
        for fragment in ('{"city": ', '"Paris"}'):
            yield piece("", 0, tool_calls=[{"index": 0, "function": {"arguments": fragment}}])
        texts, reason = [], "tool_calls"
    for text in texts:
        for index in range(count):
            yield piece(text, index)
        yield 0.001
    yield from (piece("", index, reason) for index in range(count))
    if (fields.get("stream_options") or {}).get("include_usage"):
        yield event({"object": "chat.completion.chunk", "choices": [], "usage": usage(len(texts) * count)})
    yield DONE


def _embeddings(fields: dict[str, Any]) -> Iterable[Step]:
    """Each text's letters, counted."""
    given = fields["input"]
    inputs = [given] if isinstance(given, str) else given
    vectors = [[float(str(text).lower().count(letter)) for letter in "abcdefghijklmnop"] for text in inputs]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    told = {"prompt_tokens": 4 * len(inputs), "total_tokens": 4 * len(inputs)}
    return [response(msgspec.json.encode({"object": "list", "data": data, "model": "fake-1", "usage": told}))]


MODERATED = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def _moderations(fields: dict[str, Any]) -> Iterable[Step]:
    """Flags whatever speaks of killing; all parts of an input together. `x_trace` is the provider's own."""
    given = fields["input"]
    if not given:
        return [error_response("400 Bad Request", "input must not be empty", param="input")]
    pieces = [given] if isinstance(given, str) or not isinstance(given[0], str) else given
    results = []
    for piece in pieces:
        kinds = ["text"] if isinstance(piece, str) else [part["type"].removesuffix("_url") for part in piece]
        is_violent = "kill" in str(piece)
        results.append(
            {
                "flagged": is_violent,
                "categories": {name: is_violent and name == "violence" for name in MODERATED},
                "category_scores": {name: 0.97 if is_violent and name == "violence" else 0.01 for name in MODERATED},
                "category_applied_input_types": {
                    name: kinds if name in ("violence", "sexual") else ["text"] for name in MODERATED
                },
                "x_trace": "kept",
            }
        )
    answer = {"id": "modr-9", "model": "fake-moderation-1", "results": results, "x_region": "somewhere"}
    return [response(msgspec.json.encode(answer))]


def error_response(status: str, message: str, *, param: str | None = None, fields: str = "") -> bytes:
    detail = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return response(msgspec.json.encode({"error": detail}), status=status, fields=fields)


# --- faults -----------------------------------------------------------------------------------------------------------

_BEGUN: list[Step] = [STREAM_HEAD, event(delta("one", role="assistant")), 0.01, event(delta(" two"))]
_FINISHED: list[Step] = [*_BEGUN, event(delta(finish_reason="stop"))]
_TROUBLE = event({"error": {"message": "the model fell over", "type": "server_error", "code": 500}})


def _then(*steps: Step) -> Answer:
    return lambda request: steps


def _closes_on_reuse(request: Request) -> Iterable[Step]:
    return [Do.CLOSE] if request.number else well_behaved(request)


def _resets_on_reuse(request: Request) -> Iterable[Step]:
    return [Do.RESET] if request.number else well_behaved(request)


ANSWERS: dict[str, Answer] = {
    "reset-before-head": _then(Do.RESET),
    "close-before-head": _then(Do.CLOSE),
    "reset-inside-head": _then(b"HTTP/1.1 200 OK\r\ncontent-", 0.01, Do.RESET),
    "silent": _then(Do.HANG),
    "closes-on-reuse": _closes_on_reuse,
    "resets-on-reuse": _resets_on_reuse,
    "reset-mid-stream": _then(*_BEGUN, 0.01, Do.RESET),
    "close-mid-stream": _then(*_BEGUN, Do.CLOSE),
    "stall-mid-stream": _then(*_BEGUN, Do.HANG),
    "cut-stream": _then(*_BEGUN, chunk(b"")),
    "done-too-early": _then(*_BEGUN, DONE),
    "no-done": _then(*_FINISHED, chunk(b"")),
    "close-after-finish": _then(*_FINISHED, Do.CLOSE),
    "error-frame": _then(*_BEGUN, _TROUBLE, chunk(b"")),
    "trailing-error": _then(*_FINISHED, _TROUBLE, DONE),
    "error-first": _then(STREAM_HEAD, _TROUBLE, DONE),
    "never-closes": _then(*_FINISHED, chunk(b"data: [DONE]\n\n"), Do.HANG),
    "rate-limited": _then(error_response("429 Too Many Requests", "slow down", fields="retry-after: 7\r\n")),
    "broken": _then(error_response("500 Internal Server Error", "it broke")),
    "bad-key": _then(error_response("401 Unauthorized", "no such key")),
    "web-page": _then(response("<html>Welcome</html>", content_type="text/html")),
    "json-for-stream": _then(response('{"choices": []}')),
    "redirect": _then(response("", status="302 Found", fields="location: http://127.0.0.1:1/steal\r\n")),
}
