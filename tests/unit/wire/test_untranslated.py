"""What only one format can say is never lost in silence on the way to another."""

from typing import Any

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest
from undercroft.llm.unsupported import Unsupported
from undercroft.settings.presets import Quirks
from undercroft.wire import anthropic, gemini
from undercroft.wire.anthropic.request import MessagesRequest
from undercroft.wire.openai import chat, responses
from undercroft.wire.openai.chat.request import PromptedBody
from undercroft.wire.openai.quirks import Adaptation
from undercroft.wire.openai.responses.request import ResponsesBody
from undercroft.wire.untranslated import CHAT, MESSAGES, RESPONSES, Terms

HI = [{"role": "user", "content": "hi"}]


def from_chat(**fields: Any) -> ChatRequest:
    return chat.decode(msgspec.json.encode({"model": "m", "messages": HI, **fields}))


def from_messages(**fields: Any) -> ChatRequest:
    return anthropic.decode(msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": HI, **fields}))


def from_responses(**fields: Any) -> ChatRequest:
    return responses.request_of(responses.decode(msgspec.json.encode({"model": "m", "input": "hi", **fields})), None)


def to_anthropic(request: ChatRequest, lost: Unsupported) -> None:
    anthropic.encode_request(request, model="claude-sonnet-5-5", lost=lost)


def to_gemini(request: ChatRequest, lost: Unsupported) -> None:
    gemini.encode_request(request, model="models/gemini-3-flash", unsupported=lost)


def to_openai(request: ChatRequest, lost: Unsupported) -> None:
    chat.encode_request(request, model="m", ask_usage=False, adaptation=Adaptation(Quirks(), lost))


def to_any_other(request: ChatRequest, lost: Unsupported) -> None:
    responses.portable(request, lost)


SOUND = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}}
WAYS: list[tuple[Any, Any]] = [
    (from_chat, to_anthropic), (from_chat, to_gemini), (from_messages, to_openai), (from_messages, to_gemini),
    (from_responses, to_any_other),
]  # fmt: skip
DEMANDS: list[tuple[Any, Any, dict[str, Any]]] = [
    (from_chat, to_anthropic, SOUND),
    (from_chat, to_gemini, SOUND),
    (from_chat, to_anthropic, {"web_search_options": {}}),
    (from_chat, to_gemini, {"moderation": {"model": "omni-moderation-latest"}}),
    (from_messages, to_openai, {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}),
    (from_messages, to_gemini, {"container": "container_1"}),
    (from_messages, to_openai, {"inference_geo": "eu"}),
    (from_responses, to_any_other, {"moderation": {"model": "omni-moderation-latest"}}),
]


@pytest.mark.parametrize(("read", "write", "fields"), DEMANDS)
def test_what_the_answer_would_be_wrong_without_is_refused_by_name(
    read: Any, write: Any, fields: dict[str, Any]
) -> None:
    name = next(iter(fields))
    with pytest.raises(InvalidRequest, match=f"does not support '{name}'") as refused:
        write(read(**fields), Unsupported("p/m", drop=False))
    assert refused.value.param == name


@pytest.mark.parametrize(("read", "write", "fields"), DEMANDS)
def test_or_left_out_and_told_where_the_operator_says_so(read: Any, write: Any, fields: dict[str, Any]) -> None:
    lost = Unsupported("p/m", drop=True)
    write(read(**fields), lost)
    assert lost.names == list(fields)


@pytest.mark.parametrize(("read", "write"), WAYS)
def test_hints_and_what_nobody_here_knows_are_left_out_and_told(read: Any, write: Any) -> None:
    lost = Unsupported("p/m", drop=False)
    write(read(x_new={"deep": [1]}, other=0), lost)
    assert lost.names == ["x_new", "other"]


@pytest.mark.parametrize(("read", "write"), WAYS)
def test_what_asks_for_nothing_is_not_told(read: Any, write: Any) -> None:
    lost = Unsupported("p/m", drop=False)
    write(read(x_new=None, service_tier="auto", metadata={}), lost)
    assert lost.names == []


def test_a_text_is_what_every_provider_answers_with() -> None:
    lost = Unsupported("p/m", drop=False)
    to_anthropic(from_chat(modalities=["text"]), lost)
    to_openai(from_messages(mcp_servers=[]), lost)
    assert lost.names == []


@pytest.mark.parametrize("write", [to_openai, to_gemini])
@pytest.mark.parametrize("place", ["system", "messages", "tools"])
def test_a_hint_for_the_prompts_cache_is_told_where_it_cannot_be_given(write: Any, place: str) -> None:
    hint: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "long", **hint}
    fields: dict[str, Any] = {
        "system": {"system": [text]},
        "messages": {"messages": [{"role": "user", "content": [text]}]},
        "tools": {"tools": [{"name": "f", "input_schema": {"type": "object"}, **hint}]},
    }[place]
    lost = Unsupported("p/m", drop=False)
    write(from_messages(**fields), lost)
    assert lost.names == ["cache_control"]


def test_anthropic_is_given_the_hint() -> None:
    hinted = {"type": "text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit"}}
    lost = Unsupported("p/m", drop=False)
    to_anthropic(from_chat(messages=[{"role": "user", "content": [hinted]}]), lost)
    assert lost.names == []


PICTURE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
LINKED = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
FOREIGN: list[tuple[Any, Any]] = [
    (to_openai, {"type": "hologram", "x": 1}),
    (to_openai, LINKED),
    (to_openai, {"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
    (to_openai, {"type": "tool_result", "tool_use_id": "t", "content": [LINKED]}),
    (to_gemini, {"type": "hologram", "x": 1}),
    (to_gemini, {"type": "tool_result", "tool_use_id": "t", "content": [PICTURE]}),
]


@pytest.mark.parametrize(("write", "block"), FOREIGN)
def test_content_that_a_provider_has_no_form_for_is_refused_or_left_out_and_told(write: Any, block: Any) -> None:
    request = from_messages(messages=[{"role": "user", "content": [block, {"type": "text", "text": "hi"}]}])
    with pytest.raises(InvalidRequest, match="does not support 'messages'"):
        write(request, Unsupported("p/m", drop=False))
    lost = Unsupported("p/m", drop=True)
    write(request, lost)
    assert lost.names == ["messages"]


def test_of_a_turn_of_nothing_else_nothing_is_left() -> None:
    turns = [{"role": "user", "content": [{"type": "hologram"}]}, *HI]
    fit = Adaptation(Quirks(), Unsupported("p/m", drop=True))
    body = chat.encode_request(from_messages(messages=turns), model="m", ask_usage=False, adaptation=fit)
    assert msgspec.json.decode(body)["messages"] == HI


@pytest.mark.parametrize("write", [to_anthropic, to_gemini])
def test_an_earlier_answer_of_sound_is_not_left_out_in_silence(write: Any) -> None:
    request = from_chat(messages=[*HI, {"role": "assistant", "audio": {"id": "audio_1"}}, *HI])
    with pytest.raises(InvalidRequest, match="'audio'"):
        write(request, Unsupported("p/m", drop=False))


@pytest.mark.parametrize("block", [PICTURE, {"type": "tool_result", "tool_use_id": "t", "content": [PICTURE]}])
def test_content_that_openai_has_a_form_for_is_passed_on(block: Any) -> None:
    lost = Unsupported("p/m", drop=False)
    to_openai(from_messages(messages=[{"role": "user", "content": [block]}]), lost)
    assert lost.names == []


@pytest.mark.parametrize(
    ("body", "terms"), [(PromptedBody, CHAT), (MessagesRequest, MESSAGES), (ResponsesBody, RESPONSES)]
)
def test_every_field_that_is_read_counts_as_read(body: type[msgspec.Struct], terms: Terms) -> None:
    assert set(body.__struct_encode_fields__) <= terms.read
