"""One server for each worker of pytest-xdist: a scripted model, and a provider on loopback that can be made to fail."""

from collections.abc import Iterable, Iterator

import anthropic
import msgspec
import openai
import pytest

from tests.support import anthropic_upstream as claude
from tests.support.background import upstream_in_background
from tests.support.responses_upstream import FAULTY
from tests.support.server import SCRIPTED, Server, serving, until
from tests.support.upstream import (
    ANSWERS,
    DONE,
    STREAM_HEAD,
    Request,
    Step,
    Upstream,
    chunk,
    delta,
    error_response,
    event,
    response,
)

WORKING = ("fake", "endless", "odd-stream", "rich")
REFUSING = ("busy", "quota-spent", "refuses", "too-large")
CLAUDES = ("claude-sonnet-5-5", "claude-3-5-haiku", "dropping", *claude.ANSWERS)
"""Models of Anthropic's wire; here their names begin with `a-`."""
API_KEY = "sk-an-upstream-key-that-nobody-may-see"


def endless(request: Request) -> Iterable[Step]:
    """Never stops talking."""
    yield STREAM_HEAD
    yield event(delta(role="assistant"))
    while True:
        yield event(delta(" more"))
        yield 0.005


def odd_stream(request: Request) -> Iterable[Step]:
    """What providers send besides: comments, a chunk without choices, usage with an empty choice, usage twice."""
    told = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    yield STREAM_HEAD
    yield chunk(b": a comment\r\n\r\n")
    yield event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "fake-1"})
    yield event(delta("two", role="assistant"))
    yield event(delta(" words"))
    yield event(delta(finish_reason="stop"))
    yield event({"choices": [{"index": 0, "delta": {}}], "usage": told})
    yield event({"choices": [], "usage": told})
    yield DONE


LIMITS = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "29950",
    "x-ratelimit-reset-tokens": "6m0s",
}
LOGPROBS = {
    "content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}],
    "refusal": None,
}
CALLS = [
    {"id": f"call_{city}", "type": "function", "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'}}
    for city in ("Paris", "Oslo")
]
RICH = {"system_fingerprint": "fp_1", "service_tier": "flex", "x_own": {"kept": True}}


def rich(request: Request) -> Iterable[Step]:
    """Says all that chat's format can say, and something of its own."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in LIMITS.items())
    told = {
        "prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1, "image_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 2},
    }  # fmt: skip
    shared = {"id": "chatcmpl-rich", "created": 7, "model": "rich-1", **RICH}
    if not request.json.get("stream"):
        message = {
            "role": "assistant", "content": "Hi", "refusal": None, "reasoning_content": "Let me see.",
            "tool_calls": CALLS, "audio": {"id": "a1", "data": "AAAA", "expires_at": 9, "transcript": "Hi"},
            "annotations": [
                {"type": "url_citation",
                 "url_citation": {"start_index": 0, "end_index": 1, "url": "https://a.example", "title": "A"}}
            ],
        }  # fmt: skip
        choice = {"index": 0, "message": message, "logprobs": LOGPROBS, "finish_reason": "tool_calls"}
        answer = {**shared, "object": "chat.completion", "choices": [choice], "usage": told}
        yield response(msgspec.json.encode(answer), fields=fields)
        return
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}, {"reasoning_content": "Let me see."}]
    deltas.append({"content": "Hi"})
    for index, call in enumerate(CALLS):
        arguments = call["function"]["arguments"]  # type: ignore[index]  # a function, as above
        deltas.append({"tool_calls": [{"index": index, **call, "function": {"name": "weather", "arguments": ""}}]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
    yield STREAM_HEAD.replace(b"\r\n\r\n", b"\r\n" + fields.encode() + b"\r\n")
    for said in deltas:
        logprobs = LOGPROBS if said.get("content") else None
        choices = [{"index": 0, "delta": said, "logprobs": logprobs, "finish_reason": None}]
        yield event({**shared, "object": "chat.completion.chunk", "choices": choices, "obfuscation": "x7"})
    ends = [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "tool_calls"}]
    yield event({**shared, "object": "chat.completion.chunk", "choices": ends})
    yield event({**shared, "object": "chat.completion.chunk", "choices": [], "usage": told})
    yield DONE


def _refusing(status: str, fields: str = "", **said: object) -> "list[Step]":
    return [error_response(status, "the provider's own words", fields=fields, **said)]  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        quota = b'{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota","param":null}}'
        running.answers = {
            "endless": endless,
            "odd-stream": odd_stream,
            "rich": rich,
            "busy": lambda _: _refusing("429 Too Many Requests", "retry-after-ms: 20\r\n"),
            "quota-spent": lambda _: [response(quota, status="429 Too Many Requests")],
            "refuses": lambda _: _refusing("422 Unprocessable Entity", param="messages"),
            "too-large": lambda _: _refusing("413 Payload Too Large"),
        }
        yield running


@pytest.fixture(scope="session")
def anthropic_upstream() -> Iterator[claude.AnthropicUpstream]:
    made = claude.AnthropicUpstream()
    with upstream_in_background(made):
        yield made


@pytest.fixture(scope="session")
def server(
    upstream: Upstream, anthropic_upstream: claude.AnthropicUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    models = "".join(
        f"""
[[models]]
name = "{name}"
breaker = {{ failures = 0 }}
[[models.deployments]]
provider = "openai_compatible"
base_url = "{upstream.base_url}"
api_key = "env:FAKE_KEY"
price = {{ input = "1", output = "2" }}
"""
        for name in (*WORKING, *REFUSING, *ANSWERS)
    )
    models += "".join(
        f"""
[[models]]
name = "a-{name}"
drop_unsupported = {str(name == "dropping").lower()}
breaker = {{ failures = 0 }}
[[models.deployments]]
provider = "anthropic"
model = "{name}"
base_url = "{anthropic_upstream.base_url}"
api_key = "env:FAKE_KEY"
price = {{ input = "1", output = "2" }}
"""
        for name in CLAUDES
    )
    models += "".join(
        f"""
[[models]]
name = "{name}"
breaker = {{ failures = 0 }}
[[models.deployments]]
provider = "openai_compatible"
base_url = "{upstream.base_url}"
api_key = "env:FAKE_KEY"
responses_api = true
price = {{ input = "1", output = "2" }}
"""
        for name in ("relayed", *FAULTY)
    )
    limits = "[egress]\nidle_timeout_s = 2.0\nfirst_byte_timeout_s = 2.0\n"
    folder = tmp_path_factory.mktemp("wire")
    with serving(folder, toml=f"{SCRIPTED}{models}{limits}", extra={"FAKE_KEY": API_KEY}) as running:
        until(lambda: running.ask("/health/ready").status == 200)  # on a busy machine the database comes later
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    """As a user makes it, but that it does not try again by itself."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-anything", max_retries=0) as made:
        yield made


@pytest.fixture
def messages(server: Server) -> Iterator[anthropic.Anthropic]:
    """The same with Anthropic's SDK."""
    with anthropic.Anthropic(base_url=server.url, api_key="sk-ant-anything", max_retries=0) as made:
        yield made
