"""Who can take a call, and what is said when nobody can."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.gateway.filters import ESTIMATE_SLACK, Need, Offer, Wish, fitting, need_of, wish_of
from undercroft.llm.types import (
    ChatRequest,
    CompletionRequest,
    EmbeddingsRequest,
    Message,
    ModerationRequest,
    Part,
    Request,
    ResponseFormat,
    Sampling,
    Tool,
)

CHAT = frozenset({"chat"})


def offer(*capabilities: str, kinds: frozenset[str] = CHAT, **more: Any) -> Offer:
    return Offer(kinds=kinds, capabilities=frozenset(capabilities) if capabilities else None, **more)


def need(*capabilities: str, kind: str = "chat", prompt: int = 10, answer: int = 0) -> Need:
    return Need(kind=kind, capabilities=frozenset({kind, *capabilities}), input_tokens=prompt, output_tokens=answer)


def refusal(offers: list[Offer], needed: Need, wish: Wish | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        fitting("m", offers, needed, wish)
    assert refused.value.status == 400
    return refused.value


def chat(*parts: Part, **more: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message(role="user", content=parts or "Hello"),), **more)


@pytest.mark.parametrize(
    ("request_", "kind", "needed"),
    [
        (chat(), "chat", set()),
        (chat(Part(type="text", text="x"), Part(type="image_url", data={})), "chat", {"images"}),
        (chat(Part(type="input_audio", data={}), Part(type="file", data={})), "chat", {"audio", "files"}),
        (chat(tools=(Tool(name="f"),)), "chat", {"tools"}),
        (chat(response_format=ResponseFormat(type="json_schema")), "chat", {"json_schema"}),
        (chat(response_format=ResponseFormat(type="json_object")), "chat", set()),
        (chat(logprobs=True), "chat", {"logprobs"}),
        (chat(reasoning_effort="low"), "chat", {"reasoning"}),
        (chat(reasoning_effort="none"), "chat", set()),
        (chat(reasoning_tokens=0), "chat", set()),
        (CompletionRequest(model="m", prompts=("x",), logprobs=2), "completions", {"logprobs"}),
        (EmbeddingsRequest(model="m", inputs=("x",)), "embeddings", set()),
        (ModerationRequest(model="m", inputs=((Part(type="image_url", data={}),),)), "moderations", {"images"}),
    ],
)
def test_a_requests_needs_are_found(request_: Request, kind: str, needed: set[str]) -> None:
    assert need_of(request_, kind).capabilities == {kind, *needed}


def test_the_longest_of_several_texts_has_to_fit_and_what_the_answer_may_have() -> None:
    embedded = need_of(EmbeddingsRequest(model="m", inputs=("x" * 40, "y" * 400)), "embeddings")
    assert (embedded.input_tokens, embedded.output_tokens) == (100, 0)
    asked = need_of(chat(sampling=Sampling(max_tokens=70)), "chat")
    assert asked.output_tokens == 70
    assert 0 < asked.input_tokens < 20


def test_who_declares_nothing_takes_every_kind_of_call() -> None:
    assert fitting("m", [offer(), offer("chat")], need("images", "tools"), None) == (0,)


def test_a_provider_that_does_not_do_a_kind_is_left_out() -> None:
    both = [offer(), offer(kinds=frozenset({"embeddings"}))]
    assert fitting("m", both, need(kind="embeddings"), None) == (1,)
    error = refusal(both, need(kind="moderations"))
    assert (error.code, error.message) == ("unsupported_operation", "The model 'm' does not do moderations.")


def test_nobody_with_the_capabilities_is_refused_by_name() -> None:
    error = refusal([offer("chat"), offer("chat", "tools")], need("tools", "images"))
    assert error.code == "unsupported_operation"
    assert error.message == "No deployment of the model 'm' takes images."


def test_a_prompt_goes_where_it_fits() -> None:
    offers = [offer(context_tokens=100), offer(context_tokens=1000), offer()]
    assert fitting("m", offers, need(prompt=90, answer=10), None) == (0, 1, 2)
    assert fitting("m", offers, need(prompt=90, answer=11), None) == (1, 2)


def test_a_prompt_that_fits_nowhere_is_refused_with_the_numbers() -> None:
    error = refusal([offer(context_tokens=100), offer(context_tokens=1000)], need(prompt=2000, answer=5))
    assert (error.code, error.param) == ("context_length_exceeded", "messages")
    assert error.message == (
        "The prompt has about 2000 tokens and 5 for the answer; the largest context of the model 'm' that could take"
        " this call has 1000."
    )


def test_an_estimate_alone_does_not_refuse_what_may_fit() -> None:
    offers = [offer(context_tokens=100), offer(context_tokens=1000)]
    assert fitting("m", offers, need(prompt=int(1000 * ESTIMATE_SLACK)), None) == (1,)
    assert refusal(offers, need(prompt=0, answer=1001)).code == "context_length_exceeded"


PLACES = [
    offer(region="eu", tags=frozenset({"fast"})),
    offer(region="eu", tags=frozenset({"fast", "large"})),
    offer("chat", region="us"),
]


@pytest.mark.parametrize(
    ("tags", "region", "found"),
    [("", "eu", (0, 1)), ("fast", "", (0, 1)), ("large , fast", "", (1,)), ("", " us ", (2,)), ("fast", "eu", (0, 1))],
)
def test_a_wish_is_kept(tags: str, region: str, found: tuple[int, ...]) -> None:
    assert fitting("m", PLACES, need(), wish_of(tags, region)) == found


def test_a_wish_for_what_there_is_not_is_refused_with_what_there_is() -> None:
    error = refusal(PLACES, need(), wish_of("", "mars"))
    assert (error.code, error.param) == ("invalid_value", "x-undercroft-region")
    assert error.message == "The model 'm' has no region 'mars': there are eu, us."
    error = refusal(PLACES, need(), wish_of("fast,cheap", ""))
    assert (error.param, error.message) == (
        "x-undercroft-tags",
        "The model 'm' has no tag 'cheap': there are fast, large.",
    )
    assert refusal([offer()], need(), wish_of("a", "")).message.endswith("its deployments have no tags.")


def test_a_wish_that_cannot_be_kept_together_with_the_rest_is_refused() -> None:
    assert refusal(PLACES, need(), wish_of("fast", "us")).message == (
        "No deployment of the model 'm' is in region us with the tag fast."
    )
    assert refusal(PLACES, need("tools"), wish_of("", "us")).message == (
        "No deployment of the model 'm' in region us takes tools."
    )


@pytest.mark.parametrize(("tags", "region"), [("", ""), (" , ,", "  ")])
def test_empty_headers_are_no_wish(tags: str, region: str) -> None:
    assert wish_of(tags, region) is None


WISHES = st.builds(Wish, tags=st.frozensets(st.sampled_from("ab")), region=st.sampled_from(["", "eu"]))
NAMES = st.frozensets(st.sampled_from(["chat", "tools", "images"]))


@given(
    st.lists(
        st.builds(
            Offer,
            kinds=st.just(CHAT),
            capabilities=st.one_of(st.none(), NAMES),
            context_tokens=st.one_of(st.none(), st.integers(1, 100)),
            tags=st.frozensets(st.sampled_from("ab")),
            region=st.sampled_from(["", "eu", "us"]),
        ),
        min_size=1,
        max_size=4,
    ),
    NAMES,
    st.integers(0, 100),
    st.one_of(
        st.none(), st.builds(Wish, tags=st.frozensets(st.sampled_from("ab")), region=st.sampled_from(["", "eu"]))
    ),
)
def test_whoever_is_found_can_do_it_and_a_refusal_means_that_nobody_can(
    offers: list[Offer], capabilities: frozenset[str], prompt: int, wish: Wish | None
) -> None:
    needed = Need(kind="chat", capabilities=capabilities | {"chat"}, input_tokens=prompt, output_tokens=0)

    def can(each: Offer, *, slack: float = 1.0) -> bool:
        return (
            (each.capabilities is None or needed.capabilities <= each.capabilities)
            and (each.context_tokens is None or prompt <= each.context_tokens * slack)
            and (wish is None or (wish.tags <= each.tags and wish.region in ("", each.region)))
        )

    try:
        found = fitting("m", offers, needed, wish)
    except InvalidRequest:
        assert not any(can(each) for each in offers)
        return
    exact = {index for index, each in enumerate(offers) if can(each)}
    assert set(found) == exact if exact else all(can(offers[index], slack=ESTIMATE_SLACK) for index in found)
