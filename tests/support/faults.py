"""Every way a provider of OpenAI's wire can fail, chosen by model name; well it gives the same text every time.

    upstream.otherwise = Faults().answer

A name is a fault and its numbers: `cut-after-3`, `status-503-times-2`. Faults of a number of times are counted for each
`user` of the request, so that tests do not share them. A conversation that ends in the assistant's own message is gone
on with where that message left off, by every model but `no-prefill`.
"""

import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.support.server import Server, serving, until
from tests.support.upstream import (
    DONE,
    STREAM_HEAD,
    Do,
    Request,
    Step,
    chunk,
    delta,
    error_response,
    event,
    response,
    usage,
)
from undercroft.clock import SystemClock

WORDS: Final = [f"{'' if not number else ' '}word{number}" for number in range(12)]
TEXT: Final = "".join(WORDS)
PROMPT_TOKENS: Final = 7

Fault = Callable[["Faults", Request, list[int]], Iterable[Step]]


class Faults:
    """The table of faults and what it remembers."""

    def __init__(self) -> None:
        self.times: Counter[tuple[str, str]] = Counter()
        self.arrivals: dict[tuple[str, str], list[float]] = {}
        self.began = time.monotonic()

    def answer(self, request: Request) -> Iterable[Step]:
        key = (request.model, str(request.json.get("user", "")))
        self.times[key] += 1
        self.arrivals.setdefault(key, []).append(time.monotonic())
        for pattern, fault in FAULTS.items():
            if found := re.fullmatch(pattern, request.model):
                return fault(self, request, [int(number) for number in found.groups()])
        return well(self, request, [])

    def attempt(self, request: Request) -> int:
        return self.times[request.model, str(request.json.get("user", ""))]

    def asked(self, model: str, user: str) -> int:
        """How many attempts have come."""
        return self.times[model, user]

    def gaps_s(self, model: str, user: str) -> list[float]:
        """The time between the attempts."""
        moments = self.arrivals[model, user]
        return [after - before for before, after in itertools.pairwise(moments)]


def rest_of(request: Request) -> list[str]:
    """The words that are still to be said."""
    messages = request.json.get("messages") or [{}]
    said = str(messages[-1].get("content") or "") if messages[-1].get("role") == "assistant" else ""
    if not TEXT.startswith(said):
        return WORDS
    rest = TEXT[len(said) :]
    return re.findall(r"\s*\S+", rest)


def pieces(request: Request) -> list[bytes]:
    """A whole stream, one payload each: the role, the words, the end, the usage."""
    words = rest_of(request)
    made = [event(delta(role="assistant")), *(event(delta(word)) for word in words), event(delta(finish_reason="stop"))]
    if (request.json.get("stream_options") or {}).get("include_usage"):
        told = usage(len(words), prompt=PROMPT_TOKENS)
        made.append(event({"object": "chat.completion.chunk", "choices": [], "usage": told}))
    return made


def whole(request: Request) -> bytes:
    """The same answer in one piece."""
    words = rest_of(request)
    message = {"role": "assistant", "content": "".join(words)}
    answer = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage(len(words), prompt=PROMPT_TOKENS),
    }  # fmt: skip
    return response(msgspec.json.encode(answer))


def well(_: Faults, request: Request, __: list[int]) -> Iterable[Step]:
    if not request.json.get("stream"):
        return [whole(request)]
    return [STREAM_HEAD, *pieces(request), DONE]


def failing(*steps: Step) -> Fault:
    """Always, and whatever was asked."""
    return lambda faults, request, numbers: steps


def at_first(steps: Callable[[Request, list[int]], Iterable[Step]]) -> Fault:
    """The last of its numbers says how often; then well."""

    def fault(faults: Faults, request: Request, numbers: list[int]) -> Iterable[Step]:
        if faults.attempt(request) <= numbers[-1]:
            return steps(request, numbers)
        return well(faults, request, numbers)

    return fault


def broken(end: Callable[[list[bytes], int], Iterable[Step]]) -> Fault:
    """The stream up to the piece of that number, then its end. A stream with no more pieces is whole."""

    def fault(faults: Faults, request: Request, numbers: list[int]) -> Iterable[Step]:
        made = pieces(request)
        if numbers[0] >= len(made):
            return well(faults, request, numbers)
        return [STREAM_HEAD, *made[: numbers[0]], 0.02, *end(made, numbers[0])]

    return fault


def cut_at_byte(_: Faults, request: Request, numbers: list[int]) -> Iterable[Step]:
    """So many bytes of the body, and then nothing for ever: the connection is reset."""
    body = b"".join([*pieces(request), DONE])
    return [STREAM_HEAD, body[: numbers[0]], 0.02, Do.RESET]


def refused(code: str, message: str, status: str = "400 Bad Request") -> Fault:
    detail = {"message": message, "type": "invalid_request_error", "param": "messages", "code": code}
    return failing(response(msgspec.json.encode({"error": detail}), status=status))


def busy(fields: str = "", body: dict[str, Any] | None = None) -> bytes:
    detail = {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded", **(body or {})}
    return response(msgspec.json.encode({"error": detail}), status="429 Too Many Requests", fields=fields)


def busy_until(request: Request, numbers: list[int]) -> Iterable[Step]:
    """Each form in which a wait of two seconds is told; the form is the number's place in the name."""
    forms = {
        0: busy("retry-after: 2\r\n"),
        1: busy("retry-after: 1.9\r\n"),
        2: busy(f"retry-after: {formatdate(SystemClock().now_us() / 1_000_000 + 3, usegmt=True)}\r\n"),
        3: busy("retry-after-ms: 1900\r\n"),
        4: busy(body={"retry_after": 2}),
        5: busy(body={"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.9s"}]}),
        6: busy(body={"message": "Rate limit reached. Please try again in 1.9s."}),
        7: busy("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1900ms\r\n"),
    }
    return [forms[numbers[0]]]


FORMS: Final = ("seconds", "float", "date", "ms", "body", "google", "words", "ratelimit")


def no_prefill(faults: Faults, request: Request, numbers: list[int]) -> Iterable[Step]:
    if (request.json.get("messages") or [{}])[-1].get("role") == "assistant":
        return [error_response("400 Bad Request", "This model does not support assistant message prefill.")]
    return well(faults, request, numbers)


def flapping(faults: Faults, request: Request, numbers: list[int]) -> Iterable[Step]:
    """Away for so many milliseconds from `faults.began` on."""
    if time.monotonic() - faults.began < numbers[0] / 1000:
        return [error_response("503 Service Unavailable", "overloaded")]
    return well(faults, request, numbers)


def drip(_: Faults, request: Request, numbers: list[int]) -> Iterable[Step]:
    """A word, then a byte that is no event every tenth of a second."""
    yield STREAM_HEAD
    yield from pieces(request)[: numbers[0]]
    while True:
        yield 0.1
        yield chunk(b":")


def raw_stream(body: bytes) -> Fault:
    return failing(STREAM_HEAD, chunk(body), chunk(b""))


_SAID: Final = msgspec.json.encode(delta("word0", role="assistant"))
_END: Final = msgspec.json.encode(delta(finish_reason="stop"))

FAULTS: Final[dict[str, Fault]] = {
    r"no-prefill": no_prefill,
    r"reset-times-(\d+)": at_first(lambda request, _: [Do.RESET]),
    r"role-reset-times-(\d+)": at_first(lambda request, _: [STREAM_HEAD, pieces(request)[0], 0.02, Do.RESET]),
    r"reset": failing(Do.RESET),
    r"silent": failing(Do.HANG),
    r"silent-after-head": failing(STREAM_HEAD, Do.HANG),
    r"silent-after-role": failing(STREAM_HEAD, event(delta(role="assistant")), Do.HANG),
    r"slow-first-token": lambda faults, request, _: [STREAM_HEAD, 20.0, *pieces(request), DONE],
    r"drip-after-(\d+)": drip,
    r"cut-after-(\d+)": broken(lambda made, at: [Do.RESET]),
    r"close-after-(\d+)": broken(lambda made, at: [chunk(b"")]),
    r"stall-after-(\d+)": broken(lambda made, at: [Do.HANG]),
    r"malformed-at-(\d+)": broken(lambda made, at: [chunk(b"data: {not json\n\n"), *made[at:], DONE]),
    r"cut-at-byte-(\d+)": cut_at_byte,
    r"status-(\d+)": lambda faults, request, numbers: [error_response(f"{numbers[0]} No", "it said no")],
    r"status-(\d+)-times-(\d+)": at_first(lambda request, numbers: [error_response(f"{numbers[0]} No", "not yet")]),
    r"busy-(\d+)-times-(\d+)": at_first(busy_until),
    r"busy-long": failing(busy("retry-after: 100\r\n")),
    r"busy": failing(busy()),
    r"should-not-retry": failing(error_response("503 No", "no use", fields="x-should-retry: false\r\n")),
    r"web-page": failing(response("<html>Welcome</html>", content_type="text/html")),
    r"half-json": failing(response('{"choices": [{"index"')),
    r"wrong-type": failing(response("word0 word1", content_type="text/plain")),
    r"other-json": failing(response('{"hello": "world"}')),
    r"no-done": lambda faults, request, _: [STREAM_HEAD, *pieces(request), chunk(b"")],
    r"crlf": raw_stream(b"data: %b\r\n\r\ndata: %b\r\n\r\ndata: [DONE]\r\n\r\n" % (_SAID, _END)),
    r"cr": raw_stream(b"data: %b\r\rdata: %b\r\rdata: [DONE]\r\r" % (_SAID, _END)),
    r"bom-and-no-blanks": raw_stream(b"\xef\xbb\xbfdata:%b\n\ndata:%b\n\ndata:[DONE]\n\n" % (_SAID, _END)),
    r"comments": raw_stream(b": hello\n\n:\n\ndata: %b\n\n: still\n\ndata: %b\n\ndata: [DONE]\n\n" % (_SAID, _END)),
    r"long-line": failing(STREAM_HEAD, *[chunk(b"x" * 1_000_000)] * 11, Do.HANG),
    r"context": refused("context_length_exceeded", "This model's maximum context length is 8192 tokens."),
    r"policy": refused("content_policy_violation", "Your request was rejected."),
    r"flap-(\d+)": flapping,
}


def configured(base_url: str, models: Mapping[str, str], *, sections: str = "", breaker_failures: int = 0) -> str:
    """An `undercroft.toml` with these models, each answered by the fault of its name; a value holds further lines.

    Without breakers, or what one test leaves behind would answer the next one's calls.
    """
    written = "".join(
        f"""
[[models]]
name = "{name}"
breaker = {{ failures = {breaker_failures} }}
{lines}
[[models.deployments]]
provider = "openai_compatible"
base_url = "{base_url}"
price = {{ input = "1", output = "2" }}
"""
        for name, lines in models.items()
    )
    return f"{sections}\n{written}"


@contextmanager
def answering(folder: Path, toml: str, *, wrapper: Sequence[str] = ()) -> Iterator[Server]:
    """A server that has read its database: on a busy machine the first calls come sooner than that."""
    with serving(folder, toml=toml, wrapper=wrapper) as server:
        until(lambda: server.ask("/health").json["checks"]["database"] == "ok", within_s=120)
        yield server
