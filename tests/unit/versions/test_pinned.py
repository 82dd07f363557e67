from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, CompletionRequest, Message, PromptUse, Sampling, Source
from undercroft.versions.content import (
    ModelContent,
    Parameters,
    PromptContent,
    PromptMessage,
    PromptTool,
    RetrievalContent,
    Variable,
)
from undercroft.versions.pinned import Pinned, put_on

HELLO = Message(role="user", content="Hello")
ASKED = ChatRequest(
    model="chat", messages=(HELLO,), sampling=Sampling(temperature=1.0, top_p=0.5), source=Source("openai.chat", b"{}")
)


def test_a_release_that_only_names_a_model_leaves_the_callers_bytes() -> None:
    asked = put_on(Pinned(id="r", alias="chat", model=ModelContent(target="big")), ASKED)

    assert asked.model == "big"
    assert asked.source is ASKED.source


def test_its_parameters_go_before_the_callers() -> None:
    model = ModelContent(target="big", parameters=Parameters(temperature=0.0, max_tokens=9))

    asked = put_on(Pinned(id="r", alias="chat", model=model), ASKED)

    assert isinstance(asked, ChatRequest)
    assert asked.sampling == Sampling(temperature=0.0, top_p=0.5, max_tokens=9)
    assert asked.source is not None
    assert msgspec.json.decode(asked.source.body) == {"temperature": 0.0, "max_completion_tokens": 9}


def test_what_the_callers_format_cannot_say_is_written_anew() -> None:
    model = ModelContent(target="big", parameters=Parameters(seed=1))
    asked = put_on(
        Pinned(id="r", alias="chat", model=model), replace(ASKED, source=Source("anthropic.messages", b"{}"))
    )
    assert asked.source is None


def test_its_prompt_stands_before_what_the_caller_says() -> None:
    prompt = PromptContent(
        messages=(PromptMessage(role="system", content="You are {{who}}."),),
        variables={"who": Variable()},
        tools=(PromptTool(name="look_up"),),
        response_schema={"type": "object"},
    )
    asked = replace(ASKED, prompt=PromptUse(variables={"who": "a clerk"}))

    put = put_on(Pinned(id="r", alias="chat", prompt=prompt), asked)

    assert isinstance(put, ChatRequest)
    assert put.messages == (Message(role="system", content="You are a clerk."), HELLO)
    assert [tool.name for tool in put.tools] == ["look_up"]
    assert put.response_format.schema == {"type": "object"}
    assert put.prompt is None


@pytest.mark.parametrize(
    "pins",
    [
        {"prompt": PromptContent(messages=(PromptMessage(role="system", content="x"),))},
        {"retrieval": RetrievalContent(collection="manual")},
    ],
)
def test_plain_text_is_not_asked_of_a_release_that_begins_conversations(pins: dict[str, Any]) -> None:
    pinned = Pinned(id="r", alias="chat", **pins)

    assert pinned.rewrites
    with pytest.raises(InvalidRequest, match="begins conversations"):
        put_on(pinned, CompletionRequest(model="chat", prompts=("Once",)))


def test_a_release_that_only_names_a_model_rewrites_nothing() -> None:
    assert not Pinned(id="r", alias="chat", model=ModelContent(target="big")).rewrites
    assert Pinned(id="r", alias="chat", model=ModelContent(target="big", parameters=Parameters(seed=1))).rewrites


def test_variables_without_a_prompt_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no prompt"):
        put_on(Pinned(id="r", alias="chat", model=ModelContent(target="big")), replace(ASKED, prompt=PromptUse()))
