"""Which names there are when there is nothing but keys, and what stands behind them."""

import asyncio
import random
from collections.abc import Mapping

import pytest
from pydantic import SecretStr

from tests.support.canned import CannedClient
from tests.support.clock import ManualClock
from undercroft.assembly.bundled import LOCAL, LOCAL_EMBEDDING
from undercroft.assembly.models import ModelBuilder
from undercroft.assembly.providers import FIRST_CHOICE
from undercroft.errors import InvalidRequest, ModelNotFound
from undercroft.gateway.catalogue import Catalogue
from undercroft.ledger.prices import PriceBook
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Message, Sampling
from undercroft.settings.model import Deployment, Model, Settings

PLAIN = Sampling()
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}'


class NoWeights:
    """Bundled models that are not installed."""

    chat = None
    embedding = None
    notes: Mapping[str, Mapping[str, object]] = {}

    def start(self, *, chat: bool, embedding: bool) -> None: ...

    def states(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None: ...


def catalogue(settings: Settings, canned: CannedClient | None = None) -> Catalogue:
    return ModelBuilder(
        settings,
        bundled=NoWeights(),
        client=(canned or CannedClient()).client,
        prices=PriceBook(),
        clock=ManualClock(),
        rng=random.Random(1),
    ).catalogue()


def keyed(*names: str) -> Settings:
    return Settings(provider_keys={name: SecretStr(f"{name}-key") for name in names})


def ask(settings: Settings, name: str, canned: CannedClient, *, sampling: Sampling = PLAIN) -> Reply:
    (deployment,) = catalogue(settings, canned).find(name, "chat").deployments
    request = ChatRequest(model=name, messages=(Message(role="user", content="hi"),), sampling=sampling)
    return asyncio.run(deployment.ask(request))


@pytest.mark.parametrize("provider", FIRST_CHOICE)
def test_with_a_key_any_model_of_its_provider_is_asked_for_by_prefix(provider: str) -> None:
    model = catalogue(keyed(provider)).find(f"{provider}/some/model", "chat")
    (deployment,) = model.deployments
    assert (deployment.provider, deployment.upstream_model) == (provider, "some/model")


def test_the_key_and_the_call_go_to_the_service_itself() -> None:
    canned = CannedClient(ANSWER)
    ask(keyed("mistral", "groq"), "groq/llama", canned)
    ((origin, head, body),) = canned.asked
    assert str(origin) == "api.groq.com"
    assert head.startswith(b"POST /openai/v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer groq-key\r\n" in head
    assert b'"model":"llama"' in body


def test_a_prefix_goes_before_what_another_provider_sells_under_that_name() -> None:
    found = catalogue(keyed("openrouter", "openai"))
    assert found.find("openai/gpt-5-mini", "chat").deployments[0].provider == "openai"
    assert found.find("openrouter/openai/gpt-5-mini", "chat").deployments[0].provider == "openrouter"
    alone = catalogue(keyed("openrouter")).find("openai/gpt-5-mini", "chat").deployments[0]
    assert (alone.provider, alone.upstream_model) == ("openrouter", "openai/gpt-5-mini")


def test_a_name_that_the_price_book_knows_needs_no_prefix() -> None:
    assert catalogue(keyed("mistral")).find("mistral-small-latest", "chat").deployments[0].provider == "mistral"


@pytest.mark.parametrize("name", ["nobody/x", "mistral/", "groq/llama", "azure/mine"])
def test_without_a_key_there_is_no_such_name(name: str) -> None:
    with pytest.raises(ModelNotFound):
        catalogue(keyed("mistral", "azure")).find(name, "chat")


@pytest.mark.parametrize(
    ("names", "chat", "embeddings"),
    [
        (("openai",), "gpt-5-mini", "text-embedding-3-small"),
        (("groq", "openai"), "gpt-5-mini", "text-embedding-3-small"),
        (("groq",), "groq/llama-3.3-70b-versatile", LOCAL_EMBEDDING),
        (("deepseek", "gemini"), "deepseek/deepseek-chat", "gemini/gemini-embedding-001"),
        (("openrouter",), "openrouter/openrouter/auto", LOCAL_EMBEDDING),
        (("azure",), LOCAL, LOCAL_EMBEDDING),
    ],
)
def test_the_first_key_answers_who_names_no_model(names: tuple[str, ...], chat: str, embeddings: str) -> None:
    found = catalogue(keyed(*names))
    assert (found.default("chat"), found.default("embeddings")) == (chat, embeddings)


@pytest.mark.parametrize("provider", [name for name, (chat, _) in FIRST_CHOICE.items() if chat])
def test_the_default_model_can_be_found(provider: str) -> None:
    found = catalogue(keyed(provider))
    deployment = found.find(found.default("chat"), "chat").deployments[0]
    assert (deployment.provider, deployment.upstream_model) == (provider, FIRST_CHOICE[provider][0])


@pytest.mark.parametrize("provider", ["groq", "gemini"])
def test_what_a_model_drops_is_the_operators_choice(provider: str) -> None:
    biased = Sampling(logit_bias={"1": 1.0})
    answer = (
        ANSWER
        if provider == "groq"
        else b'{"candidates":[{"content":{"parts":[{"text":"ok"}]},"finishReason":"STOP"}]}'
    )

    def settings(*, drop: bool) -> Settings:
        deployment = Deployment(provider=provider, model="m", api_key=SecretStr("k"))
        return Settings(models=(Model(name="chat", drop_unsupported=drop, deployments=(deployment,)),))

    with pytest.raises(InvalidRequest, match="logit_bias"):
        ask(settings(drop=False), "chat", CannedClient(answer), sampling=biased)
    canned = CannedClient(answer)
    assert ask(settings(drop=True), "chat", canned, sampling=biased).dropped == ("logit_bias",)
    assert b"bias" not in canned.asked[0][2].lower()


def test_an_operators_headers_go_along_and_replace_ours() -> None:
    headers = {"HTTP-Referer": SecretStr("https://example.com"), "User-Agent": SecretStr("mine")}
    deployment = Deployment(provider="openrouter", api_key=SecretStr("k"), headers=headers)
    canned = CannedClient(ANSWER)
    ask(Settings(models=(Model(name="chat", deployments=(deployment,)),)), "chat", canned)
    head = canned.asked[0][1]
    assert b"\r\nhttp-referer: https://example.com\r\n" in head
    assert head.count(b"user-agent: ") == 1
    assert b"\r\nuser-agent: mine\r\n" in head


def test_azure_is_asked_at_its_resource() -> None:
    deployment = Deployment(
        provider="azure",
        model="mine",
        api_key=SecretStr("k"),
        base_url="https://r.openai.azure.com",
        api_version="2024-10-21",
    )
    canned = CannedClient(ANSWER)
    ask(Settings(models=(Model(name="chat", deployments=(deployment,)),)), "chat", canned)
    ((origin, head, _),) = canned.asked
    assert str(origin) == "r.openai.azure.com"
    assert head.startswith(b"POST /openai/deployments/mine/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n")
    assert b"\r\napi-key: k\r\n" in head
    assert b"authorization" not in head
