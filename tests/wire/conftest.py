"""One server for each worker of pytest-xdist: a scripted model, and a provider on loopback that can be made to fail."""

from collections.abc import Iterable, Iterator

import anthropic
import openai
import pytest

from tests.support import anthropic_upstream as claude
from tests.support.background import upstream_in_background
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

WORKING = ("fake", "endless", "odd-stream")
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


def _refusing(status: str, fields: str = "", **said: object) -> "list[Step]":
    return [error_response(status, "the provider's own words", fields=fields, **said)]  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with upstream_in_background() as running:
        quota = b'{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota","param":null}}'
        running.answers = {
            "endless": endless,
            "odd-stream": odd_stream,
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
[[models.deployments]]
provider = "anthropic"
model = "{name}"
base_url = "{anthropic_upstream.base_url}"
api_key = "env:FAKE_KEY"
price = {{ input = "1", output = "2" }}
"""
        for name in CLAUDES
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
