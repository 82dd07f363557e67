"""A mock OpenAI upstream that costs almost nothing: canned answers over raw sockets.

`python -m benchmarks.upstream PORT`. The request's model says what comes: `plain` a chat completion at once, `slow` the
same after 50 ms, `stream` 100 SSE chunks 5 ms apart, `drip` a chunk each 100 ms without end (both with
`"stream": true`).
"""

import asyncio
import sys

import uvloop

CHUNKS = 100
GAP_S = 0.005
SLOW_S = 0.05
DRIP_S = 0.1

_ANSWER = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"bench-1","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%b","refusal":null},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":120,"completion_tokens":90,"total_tokens":210},"system_fingerprint":null}'
) % (b"All work and no play makes a dull benchmark. " * 10)
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunked(payload: bytes) -> bytes:
    event = b"data: " + payload + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _event(choices: bytes, usage: bytes = b"") -> bytes:
    return _chunked(
        b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"bench-1",'
        b'"choices":[%b]%b}' % (choices, usage)
    )


CHUNK = _event(b'{"index":0,"delta":{"content":"dull work "},"logprobs":null,"finish_reason":null}')
TAIL = (
    _event(b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}')
    + _event(b"", b',"usage":{"prompt_tokens":120,"completion_tokens":100,"total_tokens":220}')
    + _chunked(b"[DONE]")
    + b"0\r\n\r\n"
)


class Upstream(asyncio.Protocol):
    """One connection; requests one after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it always is one
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        lower = self._data[:end].lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._data) < end + 4 + length:
            return
        body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        if b'"stream":true' in body or b'"stream": true' in body:
            self._write(STREAM_HEAD)
            if b'"drip"' in body:
                self._drip()
            else:
                self._step(0)
        elif b'"slow"' in body:
            self._loop.call_later(SLOW_S, self._write, PLAIN)
        else:
            self._write(PLAIN)

    def _step(self, sent: int) -> None:
        if sent == CHUNKS:
            self._write(TAIL)
            return
        self._write(CHUNK)
        self._loop.call_later(GAP_S, self._step, sent + 1)

    def _drip(self) -> None:
        if self._transport is not None:
            self._write(CHUNK)
            self._loop.call_later(DRIP_S, self._drip)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
