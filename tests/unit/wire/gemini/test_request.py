"""What of a chat request is said to Gemini, and how."""

from typing import Any

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import (
    ChatRequest,
    Message,
    Part,
    ResponseFormat,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
)
from undercroft.llm.unsupported import Unsupported
from undercroft.wire import gemini
from undercroft.wire.gemini.contents import NO_SIGNATURE

OLDER, NEWER = "models/gemini-2.5-flash", "models/gemini-3-pro"
WEATHER = Tool(name="get_weather", description="The weather.", parameters={"type": "object"})
CLOCK = Tool(name="get_time")


def written(
    *messages: Message, model: str = OLDER, unsupported: Unsupported | None = None, **fields: Any
) -> dict[str, Any]:
    request = ChatRequest(model="public", messages=messages or (Message(role="user", content="hi"),), **fields)
    body = gemini.encode_request(request, model=model, unsupported=unsupported or Unsupported("g", drop=False))
    decoded = msgspec.json.decode(body)
    assert isinstance(decoded, dict)
    return decoded


def called(name: str, call_id: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def test_instructions_stand_apart_and_neighbours_of_one_role_become_one_turn() -> None:
    body = written(
        Message(role="system", content="Be brief."),
        Message(role="developer", content="In French."),
        Message(role="user", content="a"),
        Message(role="user", content="b"),
        Message(role="assistant", content="c"),
    )
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "In French."}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
    ]


def test_instructions_alone_are_asked_as_a_users_turn() -> None:
    assert written(Message(role="system", content="Say hello.")) == {
        "contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]
    }


def test_sampling_has_googles_names() -> None:
    sampling = Sampling(
        temperature=0.5, top_p=0.9, top_k=40, frequency_penalty=0.1, presence_penalty=0.2, seed=7, stop=("x",),
        max_tokens=10, n=2,
    )  # fmt: skip
    assert written(sampling=sampling, logprobs=True, top_logprobs=3)["generationConfig"] == {
        "temperature": 0.5, "topP": 0.9, "topK": 40, "frequencyPenalty": 0.1, "presencePenalty": 0.2, "seed": 7,
        "stopSequences": ["x"], "maxOutputTokens": 10, "candidateCount": 2, "responseLogprobs": True, "logprobs": 3,
    }  # fmt: skip


def test_a_plain_request_says_nothing_of_generation() -> None:
    assert written().keys() == {"contents"}


def test_calls_and_their_results_are_paired_by_name_in_one_turn_each() -> None:
    body = written(
        Message(role="user", content="?"),
        Message(
            role="assistant",
            tool_calls=(called("get_weather", "c1", '{"city":"Paris"}'), called("get_time", "c2", "not json")),
        ),
        Message(role="tool", tool_call_id="c2", content="noon"),
        Message(role="tool", tool_call_id="c1", content='{"degrees": 21}'),
    )
    assert body["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "c1", "name": "get_weather", "args": {"city": "Paris"}}},
                {"functionCall": {"id": "c2", "name": "get_time", "args": {"arguments": "not json"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c2", "name": "get_time", "response": {"output": "noon"}}},
                {"functionResponse": {"id": "c1", "name": "get_weather", "response": {"degrees": 21}}},
            ],
        },
    ]


def test_a_failed_tool_says_so() -> None:
    body = written(
        Message(role="assistant", tool_calls=(called("f", "c1"),)),
        Message(role="tool", tool_call_id="c1", content='{"why": "gone"}', is_error=True),
    )
    assert body["contents"][1]["parts"][0]["functionResponse"]["response"] == {"error": {"why": "gone"}}


def test_a_result_that_is_a_list_is_put_under_a_key() -> None:
    body = written(
        Message(role="assistant", tool_calls=(called("f", "c1"),)),
        Message(role="tool", tool_call_id="c1", content="[1, 2]"),
    )
    assert body["contents"][1]["parts"][0]["functionResponse"]["response"] == {"output": [1, 2]}


def test_the_proof_of_thought_goes_back_on_the_first_call() -> None:
    thought = Part(type="thinking", text="Hm.", data={"signature": "proof"})
    said = Message(role="assistant", content=(thought,), tool_calls=(called("f", "c1"), called("g", "c2")))
    first, second = written(said, model=NEWER)["contents"][0]["parts"]
    assert first["thoughtSignature"] == "proof"
    assert "thoughtSignature" not in second


@pytest.mark.parametrize(("model", "signature"), [(NEWER, NO_SIGNATURE), ("models/gemini-flash-latest", NO_SIGNATURE)])
def test_a_model_that_insists_on_a_proof_gets_the_documented_stand_in(model: str, signature: str) -> None:
    said = Message(role="assistant", tool_calls=(called("f", "c1"),))
    assert written(said, model=model)["contents"][0]["parts"][0]["thoughtSignature"] == signature


def test_an_older_model_is_not_told_a_made_up_proof() -> None:
    said = Message(role="assistant", tool_calls=(called("f", "c1"),))
    assert "thoughtSignature" not in written(said)["contents"][0]["parts"][0]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="function", name="get_time"), {"mode": "ANY", "allowedFunctionNames": ["get_time"]}),
        (ToolChoice(mode="required", allowed=("get_time",)), {"mode": "ANY", "allowedFunctionNames": ["get_time"]}),
    ],
)
def test_which_tool_to_call_is_a_mode_and_names(choice: ToolChoice, config: dict[str, Any]) -> None:
    body = written(tools=(WEATHER, CLOCK), tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "get_weather", "description": "The weather.", "parametersJsonSchema": {"type": "object"}},
                {"name": "get_time"},
            ]
        }
    ]


def test_tools_that_may_not_be_called_are_not_declared() -> None:
    body = written(tools=(WEATHER, CLOCK), tool_choice=ToolChoice(mode="auto", allowed=("get_time",)))
    assert body["tools"] == [{"functionDeclarations": [{"name": "get_time"}]}]
    assert "toolConfig" not in body


def test_shapes_are_a_type_and_a_schema() -> None:
    assert written(response_format=ResponseFormat(type="json_object"))["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    shape = ResponseFormat(type="json_schema", name="p", schema={"type": "object"}, strict=True)
    assert written(response_format=shape)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }


@pytest.mark.parametrize(
    ("model", "fields", "config"),
    [
        (OLDER, {"reasoning_effort": "low"}, {"thinkingBudget": 1024, "includeThoughts": True}),
        (OLDER, {"reasoning_effort": "none"}, {"thinkingBudget": 0, "includeThoughts": False}),
        (NEWER, {"reasoning_effort": "high"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        (OLDER, {"reasoning_tokens": 0}, {"thinkingBudget": 0, "includeThoughts": False}),
        (NEWER, {"reasoning_tokens": 2000}, {"thinkingBudget": 2000, "includeThoughts": True}),
    ],
)
def test_efforts_and_budgets_of_thought_are_told_as_the_model_knows_them(
    model: str, fields: dict[str, Any], config: dict[str, Any]
) -> None:
    assert written(model=model, **fields)["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            Part(type="image_url", data={"image_url": {"url": "data:image/png;base64,AAAA"}}),
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        ),
        (
            Part(type="image_url", data={"image_url": {"url": "https://example.com/a.webp?x=1"}}),
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/a.webp?x=1"}},
        ),
        (
            Part(type="image_url", data={"image_url": {"url": "https://example.com/a"}}),
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a"}},
        ),
        (
            Part(type="input_audio", data={"input_audio": {"data": "AAAA", "format": "wav"}}),
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ),
        (
            Part(type="file", data={"file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}),
            {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        ),
        (
            Part(
                type="file",
                data={"file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
            ),
            {
                "fileData": {
                    "mimeType": "application/pdf",
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                }
            },
        ),
    ],
)
def test_images_sounds_and_files_go_along_or_are_named(part: Part, expected: dict[str, Any]) -> None:
    body = written(Message(role="user", content=(Part(type="text", text="What is this?"), part)))
    assert body["contents"][0]["parts"] == [{"text": "What is this?"}, expected]


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "logit_bias": {"sampling": Sampling(logit_bias={"1": 1.0})},
    "parallel_tool_calls": {"tools": (WEATHER,), "parallel_tool_calls": False},
    "tools": {"tools": (WEATHER, Tool(name="shell", type="custom"))},
    "messages": {
        "messages": (
            Message(
                role="user",
                content=(Part(type="text", text="?"), Part(type="file", data={"file": {"file_id": "file-1"}})),
            ),
        )
    },
}


@pytest.mark.parametrize("param", UNSUPPORTED)
def test_what_it_cannot_do_is_refused_by_name(param: str) -> None:
    fields = dict(UNSUPPORTED[param])
    with pytest.raises(InvalidRequest) as refused:
        written(*fields.pop("messages", ()), **fields)
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")


@pytest.mark.parametrize("param", UNSUPPORTED)
def test_what_it_cannot_do_is_left_out_and_told_where_the_operator_says_so(param: str) -> None:
    fields = dict(UNSUPPORTED[param])
    dropping = Unsupported("g", drop=True)
    body = written(*fields.pop("messages", ()), unsupported=dropping, **fields)
    assert dropping.names == [param]
    assert body["contents"]
    assert "shell" not in str(body)
