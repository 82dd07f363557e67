"""A stored prompt is named in the same way in every format that has conversations."""

from collections.abc import Callable

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, PromptUse
from undercroft.wire import anthropic
from undercroft.wire.openai import chat, responses

USE = PromptUse(name="greeting", version="staging", variables={"who": "Ann"})
NAMED = {"name": "greeting", "label": "staging", "variables": {"who": "Ann"}}


def response(body: bytes) -> ChatRequest:
    return responses.request_of(responses.decode(body), None)


READERS: list[tuple[Callable[[bytes], ChatRequest], dict[str, object]]] = [
    (chat.decode, {}),
    (response, {}),
    (anthropic.decode, {"max_tokens": 9}),
]


def read(decode: Callable[[bytes], ChatRequest], fields: dict[str, object]) -> ChatRequest:
    return decode(msgspec.json.encode({"model": "m", **fields}))


@pytest.mark.parametrize(("decode", "fields"), READERS)
def test_a_prompt_by_name_and_label_needs_no_messages(
    decode: Callable[[bytes], ChatRequest], fields: dict[str, object]
) -> None:
    request = read(decode, {**fields, "prompt": NAMED})

    assert request.prompt == USE
    assert request.messages == ()


@pytest.mark.parametrize(("decode", "fields"), READERS)
def test_an_id_is_a_name_and_a_version_a_label(
    decode: Callable[[bytes], ChatRequest], fields: dict[str, object]
) -> None:
    request = read(decode, {**fields, "prompt": {"id": "greeting", "version": "3f2a9c"}})

    assert request.prompt == PromptUse(name="greeting", version="3f2a9c")


@pytest.mark.parametrize(("decode", "fields"), READERS)
def test_without_a_prompt_a_conversation_needs_something_said(
    decode: Callable[[bytes], ChatRequest], fields: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        read(decode, {**fields, "prompt": None})


@pytest.mark.parametrize(("decode", "fields"), READERS)
@pytest.mark.parametrize("prompt", [{"name": 7}, {"name": "x", "variables": []}])
def test_what_names_no_prompt_is_refused(
    decode: Callable[[bytes], ChatRequest], fields: dict[str, object], prompt: object
) -> None:
    with pytest.raises(InvalidRequest):
        read(decode, {**fields, "prompt": prompt})


def test_a_prompt_that_openai_keeps_is_left_to_it() -> None:
    request = read(response, {"prompt": {"id": "pmpt_1", "variables": {"a": {"type": "input_text", "text": "x"}}}})

    assert request.prompt is None
    assert request.source is not None
    assert b"pmpt_1" in request.source.body


def test_a_response_tells_of_a_named_prompt_by_its_id() -> None:
    asked = responses.decode(msgspec.json.encode({"model": "m", "prompt": NAMED}))

    assert asked.body.prompt == {"id": "greeting", **NAMED}
