from typing import Any

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, ToolChoice
from undercroft.llm.unsupported import Unsupported
from undercroft.wire.openai.responses.items import SIGNATURE
from undercroft.wire.openai.responses.portable import as_chat, portable
from undercroft.wire.openai.responses.request import decode, request_of

SEARCH = {"type": "web_search"}
FILE = {"type": "input_file", "file_url": "https://x"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def request(**fields: Any) -> ChatRequest:
    return request_of(decode(msgspec.json.encode({"input": "hi", **fields})), None)


def chat(**fields: Any) -> dict[str, Any]:
    plain = as_chat(portable(request(**fields), Unsupported("t", drop=True)))
    assert plain.source is not None
    assert plain.source.dialect == "openai.chat"
    body: dict[str, Any] = msgspec.json.decode(plain.source.body)
    return body


FOREIGN: list[tuple[dict[str, Any], str]] = [
    ({"tools": [FUNCTION, SEARCH]}, "tools[1]"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"input": [{"role": "user", "content": "hi"}, {"type": "item_reference", "id": "x"}]}, "input[1]"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_video"}]}]},
        "input[0].content[1]",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]}]},
        "input[0].content[0]",
    ),
]


@pytest.mark.parametrize(("fields", "param"), FOREIGN)
def test_what_only_the_format_has_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        portable(request(**fields), Unsupported("t", drop=False))
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize(("fields", "param"), FOREIGN)
def test_or_left_out_and_told(fields: dict[str, Any], param: str) -> None:
    unsupported = Unsupported("t", drop=True)
    left = portable(request(**fields), unsupported)
    assert unsupported.names == [param]
    assert portable(left, Unsupported("t", drop="prompt" in fields)) == left, "twice is as good as once"


def test_a_conversation_nobody_knows_is_never_left_out() -> None:
    with pytest.raises(InvalidRequest) as refused:
        portable(request(previous_response_id="resp_1"), Unsupported("t", drop=True))
    assert refused.value.code == "previous_response_not_found"


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ("required", ToolChoice(mode="required")),
        (SEARCH, ToolChoice()),
        ({"type": "allowed_tools", "mode": "auto", "tools": [SEARCH, {"type": "function", "name": "f"}]},
         ToolChoice(allowed=("f",))),
        ({"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}, ToolChoice(mode="none")),
    ],
)  # fmt: skip
def test_a_choice_is_among_the_tools_that_are_left(choice: Any, left: ToolChoice) -> None:
    asked = request(tools=[FUNCTION, SEARCH], tool_choice=choice)
    assert portable(asked, Unsupported("t", drop=True)).tool_choice == left


def test_the_choice_goes_with_the_last_tool() -> None:
    body = chat(tools=[SEARCH], tool_choice="required", parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


def test_chat_gets_the_fields_that_both_formats_have() -> None:
    shared = {"service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "s"}
    body = chat(**shared, text={"verbosity": "low"}, max_output_tokens=5, top_logprobs=2)
    assert {name: body[name] for name in shared} == shared
    assert (body["verbosity"], body["max_completion_tokens"]) == ("low", 5)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_thoughts_stay_out_of_a_chat() -> None:
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "so"}],
        "encrypted_content": SIGNATURE + "proof",
    }
    said = {"role": "assistant", "content": "yes"}
    body = chat(input=[{"role": "user", "content": "hi"}, thought, said, thought])
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
    ]
