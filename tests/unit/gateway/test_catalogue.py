import random

import pytest

from undercroft.errors import ModelNotFound
from undercroft.gateway.balance import Balancer
from undercroft.gateway.call import Deployment, Model
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Chunk, ModerationRequest


class Talker:
    name = "talker"

    async def send(self, request: ChatRequest, /) -> Reply:
        return Reply(whole=Chunk())


class Moderator:
    async def moderate(self, request: ModerationRequest, /) -> Reply:
        return Reply(whole=Chunk())


def model(name: str, client: object) -> Model:
    deployment = Deployment(id=f"{name}/0", provider="fake", upstream_model=name, client=client)
    return Model(name=name, deployments=(deployment,), balancer=Balancer((deployment,), rng=random.Random(1)))


def defaults(*, accept_any: bool = False) -> Defaults:
    return Defaults(chat="chat", embeddings="vectors", moderations="judge", accept_any=accept_any)


def test_each_kind_of_call_has_its_own_default() -> None:
    catalogue = Catalogue([model("chat", Talker()), model("judge", Moderator())], defaults=defaults())
    assert catalogue.find("", "chat").name == catalogue.find("", "completions").name == "chat"
    assert catalogue.find("", "moderations").name == "judge"


def test_a_default_that_is_not_configured_is_discovered() -> None:
    asked: list[str] = []

    def discover(name: str) -> Model | None:
        asked.append(name)
        return model(name, Talker())

    catalogue = Catalogue([], defaults=defaults(), discover=discover)
    assert catalogue.find("", "chat").name == "chat"
    assert catalogue.find("", "chat") is catalogue.find("chat", "chat"), "found once, then remembered"
    assert asked == ["chat"]


def test_an_unknown_name_is_answered_by_what_can_do_such_calls() -> None:
    catalogue = Catalogue([model("chat", Talker()), model("judge", Moderator())], defaults=defaults(accept_any=True))
    assert catalogue.find("omni-moderation-latest", "moderations").name == "judge"
    assert catalogue.find("gpt-5", "chat").name == "chat"


def test_an_unknown_name_is_told_which_models_do_such_calls() -> None:
    catalogue = Catalogue([model("chat", Talker()), model("judge", Moderator())], defaults=defaults())
    with pytest.raises(ModelNotFound, match=r"'jury' does not exist\. Available: judge\."):
        catalogue.find("jury", "moderations")
    with pytest.raises(ModelNotFound, match=r"Did you mean 'chat'\? Available: chat\."):
        catalogue.find("chatt", "chat")


def test_a_server_without_weights_says_so_although_its_rules_are_always_there() -> None:
    catalogue = Catalogue([model("judge", Moderator())], defaults=defaults())
    with pytest.raises(ModelNotFound, match="no model is configured and the bundled weights are not installed"):
        catalogue.find("gpt-5", "chat")
