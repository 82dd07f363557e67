"""Which models there are, and what answers for them, by what the operator wrote."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.egress import open_client
from undercroft.assembly.models import ModelBuilder
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
