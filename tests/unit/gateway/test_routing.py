"""What a model's configuration makes of a call: who can take it, and who should."""

import math
from typing import Any

import pytest

from undercroft.errors import InvalidRequest
from undercroft.gateway.filters import Offer, wish_of
from undercroft.gateway.routing import EVERYBODY, GUESSED_OUTPUT_TOKENS, Look, Routing, is_selective
from undercroft.llm.types import ChatRequest, EmbeddingsRequest, Message, Request, Sampling
from undercroft.record import Usage, Who

CHAT = frozenset({"chat", "embeddings"})
PLAIN = [Offer(kinds=CHAT)] * 2
HELLO = ChatRequest(model="m", messages=(Message(role="user", content="Hello"),))


def routing(offers: list[Offer], **more: Any) -> Routing:
    return Routing("m", offers, ids=[f"m/{place}" for place in range(len(offers))], weights=[1] * len(offers), **more)


def look(made: Routing, request: Request = HELLO, kind: str = "chat", **more: Any) -> Look:
    return made.look(request, kind=kind, who=Who(), wish=more.get("wish"))


@pytest.mark.parametrize(
    ("second", "selective"),
    [
        (Offer(kinds=CHAT), False),
        (Offer(kinds=frozenset({"chat"})), True),
        (Offer(kinds=CHAT, region="eu"), True),
        (Offer(kinds=CHAT, tags=frozenset({"a"})), True),
        (Offer(kinds=CHAT, context_tokens=5), True),
        (Offer(kinds=CHAT, capabilities=frozenset({"chat"})), True),
    ],
)
def test_only_what_could_tell_two_calls_apart_is_looked_at(second: Offer, selective: bool) -> None:
    assert is_selective([Offer(kinds=CHAT), second]) is selective


def test_without_limits_everybody_fits_and_the_strategy_decides() -> None:
    assert look(routing(PLAIN)) == EVERYBODY


def test_limits_and_wishes_narrow_the_choice() -> None:
    offers = [Offer(kinds=CHAT, context_tokens=1, region="eu"), Offer(kinds=CHAT, region="us")]
    assert look(routing(offers)) == Look(fits=(1,))
    with pytest.raises(InvalidRequest, match="about 6 tokens"):
        look(routing(offers), wish=wish_of("", "eu"))


def test_cheapest_asks_for_this_calls_cost() -> None:
    asked: list[Usage] = []

    def cost(usage: Usage) -> float:
        asked.append(usage)
        return usage.input * 1.0 + usage.output * 10.0

    made = routing(PLAIN, ranking="cheapest", costs=[cost, lambda _: math.inf])
    found = look(made)
    assert (found.fits, found.by) == (None, "cheapest")
    assert found.scores == (asked[0].input + 10.0 * GUESSED_OUTPUT_TOKENS, math.inf)
    look(made, ChatRequest(model="m", messages=HELLO.messages, sampling=Sampling(max_tokens=7, n=2)))
    look(made, EmbeddingsRequest(model="m", inputs=("four letters",)), "embeddings")
    assert [usage.output for usage in asked] == [GUESSED_OUTPUT_TOKENS, 14, 0]


def test_prompt_size_prefers_the_smallest_that_fits_and_an_unknown_size_last() -> None:
    offers = [Offer(kinds=CHAT), Offer(kinds=CHAT, context_tokens=8000), Offer(kinds=CHAT, context_tokens=1)]
    assert look(routing(offers, ranking="prompt_size")) == Look((0, 1), (math.inf, 8000.0, 1.0), "prompt_size")


def test_stickiness_goes_before_a_ranking_where_there_is_something_to_go_by() -> None:
    offers = [Offer(kinds=CHAT, context_tokens=8000), Offer(kinds=CHAT, context_tokens=9000)]
    made = routing(offers, ranking="prompt_size", sticky="user")
    ada = ChatRequest(model="m", messages=HELLO.messages, end_user="ada")
    assert look(made).scores == (8000.0, 9000.0)
    assert look(made, ada) == look(made, ada)
    assert look(made, ada).scores != (8000.0, 9000.0)
    assert look(made, ada).by == "sticky user"
