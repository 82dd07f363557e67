"""Providers that reach their model over a socket, and the one that only plays a script, owe what all providers owe."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.support.anthropic_upstream import AnthropicUpstream
from tests.support.egress import open_client
from tests.support.upstream import running_upstream
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, EmbeddingsRequest, Message, ModerationRequest, Part, Request, Sampling
from undercroft.providers.anthropic import Anthropic
from undercroft.providers.openai_compatible import OpenAICompatible
from undercroft.providers.rules import Rules
from undercroft.providers.scripted import Line, Scripted
from undercroft.testing.providers import (
    Abilities,
    Claim,
    Subject,
    chat_claims,
    check,
    completion_claims,
    embedding_claims,
    moderation_claims,
    name_of,
)

ALL_ABILITIES = Abilities(schemas=False)
REMOTE = list(
    dict.fromkeys(
        [*chat_claims(ALL_ABILITIES), *completion_claims(ALL_ABILITIES), *embedding_claims(), *moderation_claims()]
    )
)
PLAIN = Abilities(tools=False, schemas=False)
SCRIPTED = list(dict.fromkeys([*chat_claims(PLAIN), *completion_claims(PLAIN), *embedding_claims()]))
ONE_CHOICE = Abilities(choices=False)

AN_IMAGE = ModerationRequest(model="test", inputs=((Part(type="image_url", data={}),),))
NOTHING_TO_JUDGE = ModerationRequest(model="test", inputs=("",))
NOTHING_SAID = ChatRequest(model="test", messages=())


@asynccontextmanager
async def over_a_socket() -> AsyncGenerator[Subject, None]:
    clock = SystemClock()
    async with running_upstream() as upstream, open_client(clock) as client:
        provider = OpenAICompatible(
            "fake", base_url=upstream.base_url, api_key="sk-1", model="test", client=client, clock=clock
        )
        yield Subject(provider=provider, running=lambda: upstream.running, refused=(NOTHING_SAID, NOTHING_TO_JUDGE))


@asynccontextmanager
async def from_anthropic() -> AsyncGenerator[Subject, None]:
    async with anthropic_subject("claude-sonnet-5-5") as subject:
        yield subject


@asynccontextmanager
async def from_an_older_model_of_anthropic() -> AsyncGenerator[Subject, None]:
    async with anthropic_subject("claude-3-5-haiku-20241022") as subject:
        yield subject


@asynccontextmanager
async def anthropic_subject(model: str) -> AsyncGenerator[Subject, None]:
    clock = SystemClock()
    upstream = AnthropicUpstream()
    async with running_upstream(upstream=upstream), open_client(clock) as client:
        provider = Anthropic(
            "anthropic", base_url=upstream.base_url, api_key="sk-ant-1", model=model, client=client, clock=clock
        )
        asked_twice = ChatRequest(model="test", messages=(Message(role="user", content="Hi"),), sampling=Sampling(n=2))
        yield Subject(
            provider=provider,
            stop_word="three",
            running=lambda: upstream.running,
            refused=(NOTHING_SAID, asked_twice),
        )


@asynccontextmanager
async def from_a_script() -> AsyncGenerator[Subject, None]:
    def script(request: Request) -> Line:
        if isinstance(request, ChatRequest) and not request.messages:
            return InvalidRequest("Nobody said anything.")
        return "one two three four five six seven eight nine ten eleven twelve"

    refused = (NOTHING_SAID, EmbeddingsRequest(model="test", inputs=("a",), dimensions=1_000_000))
    yield Subject(provider=Scripted(script, chunk_delay_s=0.002, clock=SystemClock()), refused=refused)


@asynccontextmanager
async def by_rules() -> AsyncGenerator[Subject, None]:
    yield Subject(provider=Rules(), refused=(AN_IMAGE,))


@pytest.mark.parametrize("claim", REMOTE, ids=name_of)
def test_an_openai_compatible_provider_keeps_its_promises(claim: Claim) -> None:
    check(claim, over_a_socket)


@pytest.mark.parametrize("claim", chat_claims(ONE_CHOICE), ids=name_of)
@pytest.mark.parametrize("subject", [from_anthropic, from_an_older_model_of_anthropic], ids=["newer", "older"])
def test_an_anthropic_provider_keeps_its_promises(
    claim: Claim, subject: Callable[[], AbstractAsyncContextManager[Subject]]
) -> None:
    check(claim, subject)


@pytest.mark.parametrize("claim", SCRIPTED, ids=name_of)
def test_a_scripted_provider_keeps_its_promises(claim: Claim) -> None:
    check(claim, from_a_script)


@pytest.mark.parametrize("claim", moderation_claims(), ids=name_of)
def test_the_built_in_moderation_keeps_its_promises(claim: Claim) -> None:
    check(claim, by_rules)


def test_a_message_may_be_empty() -> None:
    async def scenario(subject: Subject) -> None:
        assert isinstance(subject.provider, OpenAICompatible)
        request = ChatRequest(model="test", messages=(Message(role="user", content=""),))
        assert (await (await subject.provider.send(request)).read()).text()

    check(scenario, over_a_socket)
