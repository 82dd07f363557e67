"""Which models there are, and what answers for them, by what the operator wrote."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client
from undercroft.assembly.models import ModelBuilder
from undercroft.errors import ModelNotFound
from undercroft.gateway.catalogue import Catalogue
from undercroft.ledger.prices import PriceBook
from undercroft.llm.provider import TokenCounter
from undercroft.settings.model import Deployment, Model, Settings


class NoModels:
    """An installation without the bundled weights."""

    chat = None
    embedding = None
    notes: Mapping[str, Mapping[str, object]] = {}

    def start(self, *, chat: bool, embedding: bool) -> None:
        """There is nothing to load."""

    def states(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        """There is nothing to close."""


def built(**settings: Any) -> Catalogue:
    async def build() -> Catalogue:
        clock = ManualClock()
        async with open_client(clock) as client:
            return ModelBuilder(
                Settings(**settings),
                bundled=NoModels(),
                client=client,
                prices=PriceBook(),
                clock=clock,
                rng=random.Random(1),
            ).catalogue()

    return asyncio.run(build())


@pytest.mark.parametrize("name", ["claude-haiku-5-5", "claude-sonnet-4-6", "anthropic/claude-from-the-future"])
def test_a_key_of_anthropics_opens_its_models(name: str) -> None:
    model = built(provider_keys={"anthropic": "sk-ant-1"}).find(name, "chat")
    (deployment,) = model.deployments
    assert (deployment.provider, deployment.upstream_model) == ("anthropic", name.removeprefix("anthropic/"))
    assert isinstance(deployment.client, TokenCounter)


def test_it_answers_those_who_name_no_model_and_leaves_embeddings_to_the_bundled_one() -> None:
    catalogue = built(provider_keys={"anthropic": "sk-ant-1"})
    assert catalogue.find("", "chat").name == "anthropic/claude-haiku-5-5"
    assert catalogue.default("embeddings") == "local-embedding"


def test_a_model_of_the_file_has_its_deployments_at_anthropic() -> None:
    deployment = Deployment(provider="anthropic", model="claude-sonnet-5-5", base_url="http://127.0.0.1:9/v1")
    model = built(models=(Model(name="assistant", deployments=(deployment,)),)).find("assistant", "chat")
    assert [each.upstream_model for each in model.deployments] == ["claude-sonnet-5-5"]
    assert model.owner == "anthropic"


def written(name: str, provider: str = "scripted", **deployment: Any) -> dict[str, Any]:
    return {"name": name, "deployments": [{"provider": provider, **deployment}]}


REMOTE = {"base_url": "http://127.0.0.1:1/v1"}


def moderator(found: Catalogue, name: str = "") -> tuple[str, str]:
    model = found.find(name, "moderations")
    return model.name, model.deployments[0].upstream_model


def test_with_nothing_configured_the_rules_moderate() -> None:
    found = built()
    assert moderator(found) == ("local-moderation", "undercroft-rules")
    assert moderator(found, "omni-moderation-latest")[0] == "local-moderation", "any name is taken on a laptop"
    assert found.models()[-1].notes["quality"] == "rules"


def test_a_configured_model_for_moderation_comes_before_the_rules() -> None:
    models = [written("chat"), written("guard", "openai_compatible", model="omni-moderation-latest", **REMOTE)]
    assert moderator(built(models=models)) == ("guard", "omni-moderation-latest")
    assert moderator(built(models=[written("chat"), written("house", "rules")]))[0] == "house"
    assert moderator(built(models=[written("chat")]))[0] == "local-moderation"


def test_the_operators_word_comes_first() -> None:
    models = [written("my-moderation", "openai_compatible", **REMOTE), written("other", "openai_compatible", **REMOTE)]
    assert moderator(built(models=models, moderation={"default_model": "other"}))[0] == "other"


def test_a_providers_key_alone_opens_its_moderation() -> None:
    found = built(provider_keys={"openai": "sk-1"})
    assert moderator(found) == ("omni-moderation-latest", "omni-moderation-latest")
    assert moderator(found, "openai/omni-moderation-2024-09-26")[1] == "omni-moderation-2024-09-26"
    with pytest.raises(ModelNotFound):
        found.find("jury", "moderations")


def test_a_providers_key_alone_opens_its_chat_for_calls_that_name_no_model() -> None:
    found = built(provider_keys={"openai": "sk-1"}).find("", "chat")
    assert (found.name, found.owner) == ("gpt-5-mini", "openai")
