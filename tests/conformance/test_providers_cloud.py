"""Providers with formats or addresses of their own owe what all providers owe."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.support import azure_upstream, gemini_upstream
from tests.support.azure_upstream import AzureUpstream
from tests.support.egress import open_client
from tests.support.gemini_upstream import GeminiUpstream
from tests.support.upstream import running_upstream
from undercroft.clock import SystemClock
from undercroft.llm.types import ChatRequest, EmbeddingsRequest, Message, Sampling
from undercroft.providers.azure import azure
from undercroft.providers.gemini import Gemini
from undercroft.providers.openai_compatible import PLAIN, Manners, OpenAICompatible
from undercroft.settings.presets import PRESETS
from undercroft.testing.providers import (
    Abilities,
    Claim,
    Subject,
    chat_claims,
    check,
    completion_claims,
    embedding_claims,
    name_of,
)

ALL = Abilities(schemas=False)
AZURE = list(dict.fromkeys([*chat_claims(ALL), *completion_claims(ALL), *embedding_claims()]))
GEMINI = list(dict.fromkeys([*chat_claims(), *embedding_claims()]))
ONE_CHOICE = Abilities(choices=False, schemas=False)

NOTHING_SAID = ChatRequest(model="test", messages=())
BIASED = ChatRequest(
    model="test", messages=(Message(role="user", content="Hi"),), sampling=Sampling(logit_bias={"1": 1.0})
)


@asynccontextmanager
async def from_gemini() -> AsyncGenerator[Subject, None]:
    clock, upstream = SystemClock(), GeminiUpstream()
    async with running_upstream(upstream=upstream), open_client(clock) as client:
        provider = Gemini(
            base_url=upstream.base_url,
            api_key=gemini_upstream.KEY,
            model="gemini-2.5-flash",
            client=client,
            clock=clock,
        )
        tokens = EmbeddingsRequest(model="test", inputs=((1, 2, 3),))
        yield Subject(provider=provider, running=lambda: upstream.running, refused=(NOTHING_SAID, BIASED, tokens))


@asynccontextmanager
async def azure_subject(api_version: str | None) -> AsyncGenerator[Subject, None]:
    clock, upstream = SystemClock(), AzureUpstream()
    async with running_upstream(upstream=upstream), open_client(clock) as client:
        provider = azure(
            endpoint=upstream.origin_url,
            api_version=api_version,
            api_key=azure_upstream.KEY,
            deployment="mine",
            client=client,
            clock=clock,
            manners=PLAIN,
        )
        yield Subject(provider=provider, running=lambda: upstream.running, refused=(NOTHING_SAID,))


@asynccontextmanager
async def preset_subject(name: str) -> AsyncGenerator[Subject, None]:
    clock = SystemClock()
    async with running_upstream() as upstream, open_client(clock) as client:
        provider = OpenAICompatible(
            name,
            base_url=upstream.base_url,
            api_key="sk-1",
            model="test",
            client=client,
            clock=clock,
            manners=Manners(quirks=PRESETS[name].quirks),
        )
        yield Subject(provider=provider, running=lambda: upstream.running, refused=(NOTHING_SAID,))


@pytest.mark.parametrize("claim", GEMINI, ids=name_of)
def test_a_gemini_provider_keeps_its_promises(claim: Claim) -> None:
    check(claim, from_gemini)


@pytest.mark.parametrize("claim", AZURE, ids=name_of)
@pytest.mark.parametrize("api_version", [None, azure_upstream.VERSION])
def test_an_azure_provider_keeps_its_promises(claim: Claim, api_version: str | None) -> None:
    check(claim, lambda: azure_subject(api_version))


@pytest.mark.parametrize(
    "claim", [claim for claim in chat_claims(ONE_CHOICE) if name_of(claim) != "usage_is_told_either_way"], ids=name_of
)
@pytest.mark.parametrize("name", ["mistral", "groq", "deepseek"])
def test_a_service_with_quirks_keeps_a_providers_promises(claim: Claim, name: str) -> None:
    check(claim, lambda: preset_subject(name))
