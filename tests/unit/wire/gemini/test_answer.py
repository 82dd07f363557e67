"""What Gemini's answers mean."""

import asyncio
from typing import Any

import msgspec
import pytest

from undercroft.errors import UpstreamError, UpstreamGarbled, UpstreamOverloaded
from undercroft.llm.reply import joined
from undercroft.llm.types import Chunk
from undercroft.record import Usage
from undercroft.wire import gemini
from undercroft.wire.gemini import Reading
from undercroft.wire.gemini.answer import FILTERED


def answer(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> bytes:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish}
    return msgspec.json.encode({"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r9", **more})


def test_text_thoughts_and_model_are_told_apart() -> None:
    chunk = gemini.decode_whole(
        answer(
            {"text": "Hm.", "thought": True},
            {"text": "Hel"},
            {"text": "lo", "thoughtSignature": "proof"},
            {"executableCode": {"code": "1"}},
        )
    )
    (choice,) = chunk.choices
    assert (choice.text, choice.reasoning, choice.signature) == ("Hello", "Hm.", "proof")
    assert (choice.role, choice.finish_reason, chunk.model) == ("assistant", "stop", "gemini-x")


def test_usage_is_in_the_normal_form() -> None:
    told = {
        "promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 5, "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 2, "totalTokenCount": 20,
    }  # fmt: skip
    chunk = gemini.decode_whole(answer({"text": "x"}, usageMetadata=told))
    assert chunk.usage == Usage(input=12, output=8, cache_read=4, reasoning=5)


def test_calls_get_ids_that_no_other_answer_has() -> None:
    chunk = gemini.decode_whole(
        answer(
            {"functionCall": {"name": "f", "args": {"a": 1}}},
            {"functionCall": {"name": "g", "id": "theirs"}},
        )
    )
    calls = chunk.choices[0].tool_calls
    assert [(call.index, call.id, call.name, call.arguments) for call in calls] == [
        (0, "call_r9_0_0", "f", '{"a":1}'),
        (1, "theirs", "g", "{}"),
    ]
    assert chunk.choices[0].finish_reason == "tool_calls"


def test_a_stream_that_called_before_it_ended_ended_with_a_call() -> None:
    reading = Reading(choices=1)
    reading.read(answer({"functionCall": {"name": "f"}}, finish=None))
    assert not reading.is_complete
    assert reading.piece(answer(finish="STOP")).choices[0].finish_reason == "tool_calls"
    assert reading.is_complete


def test_pieces_add_up_to_the_whole() -> None:
    reading = Reading(choices=1)
    pieces = [
        answer({"text": "Hm.", "thought": True, "thoughtSignature": "one"}, finish=None),
        answer({"text": "Hel"}, finish=None, usageMetadata={"promptTokenCount": 7}),
        answer(
            {"text": "lo", "thoughtSignature": "two"}, usageMetadata={"promptTokenCount": 7, "candidatesTokenCount": 2}
        ),
    ]

    async def each() -> Any:
        for piece in pieces:
            yield reading.read(piece)

    added: Chunk = asyncio.run(joined(each()))
    (choice,) = added.choices
    assert (choice.text, choice.reasoning, choice.signature) == ("Hello", "Hm.", "one")
    assert added.usage == Usage(input=7, output=2)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SOMETHING_NEW", "stop"),
        *((each, "content_filter") for each in sorted(FILTERED)),
    ],
)
def test_reasons_to_end_have_openais_names(reason: str, finish: str) -> None:
    assert gemini.decode_whole(answer({"text": "x"}, finish=reason)).choices[0].finish_reason == finish


def test_a_blocked_prompt_is_an_answer_of_no_text_for_every_choice() -> None:
    body = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":7}}'
    chunk = gemini.decode_whole(body, choices=2)
    assert [(each.index, each.text, each.finish_reason) for each in chunk.choices] == [
        (0, "", "content_filter"),
        (1, "", "content_filter"),
    ]
    assert chunk.usage == Usage(input=7)


def test_a_call_that_the_model_garbled_may_be_tried_again() -> None:
    with pytest.raises(UpstreamGarbled, match="MALFORMED_FUNCTION_CALL") as garbled:
        gemini.decode_whole(answer(finish="MALFORMED_FUNCTION_CALL"))
    assert garbled.value.retryable


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"candidates":5}', b"{}", b'{"candidates":[]}', b"\xff"])
def test_what_is_no_answer_is_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        gemini.decode_whole(body)


def test_an_error_in_an_answer_is_raised() -> None:
    told = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    with pytest.raises(UpstreamOverloaded, match="overloaded"):
        Reading(choices=1).read(msgspec.json.encode(told))


def test_log_probabilities_have_openais_shape() -> None:
    body = msgspec.json.decode(answer({"text": "hé"}))
    body["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "hé", "tokenId": 1, "logProbability": -0.5}],
        "topCandidates": [
            {"candidates": [{"token": "hé", "logProbability": -0.5}, {"token": "x", "logProbability": -2}]}
        ],
    }
    logprobs = gemini.decode_whole(msgspec.json.encode(body)).choices[0].logprobs
    assert logprobs == {
        "content": [
            {
                "token": "hé",
                "logprob": -0.5,
                "bytes": [104, 195, 169],
                "top_logprobs": [
                    {"token": "hé", "logprob": -0.5, "bytes": [104, 195, 169]},
                    {"token": "x", "logprob": -2.0, "bytes": [120]},
                ],
            }
        ],
        "refusal": None,
    }


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("status", "detail", "expected"),
    [
        (429, {"code": 429, "status": "RESOURCE_EXHAUSTED"}, ("UpstreamOverloaded", 503, "upstream_overloaded")),
        (503, {"code": 503, "status": "UNAVAILABLE"}, ("UpstreamOverloaded", 503, "upstream_overloaded")),
        (504, {"code": 504, "status": "DEADLINE_EXCEEDED"}, ("UpstreamTimedOut", 504, "upstream_timeout")),
        (404, {"code": 404, "status": "NOT_FOUND"}, ("UpstreamRefused", 404, "model_not_found")),
        (400, {"code": 400, "status": "INVALID_ARGUMENT"}, ("UpstreamRefused", 400, "invalid_argument")),
        (403, {"code": 403, "status": "PERMISSION_DENIED"}, ("UpstreamRefused", 502, "upstream_refused")),
        (400, {"code": 400, "status": "FAILED_PRECONDITION"}, ("UpstreamRefused", 502, "upstream_refused")),
        (
            400,
            {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]},
            ("UpstreamRefused", 502, "upstream_refused"),
        ),
    ],
)
def test_googles_errors_are_of_the_kinds_that_are_acted_upon(
    status: int, detail: dict[str, Any], expected: tuple[str, int, str], wrapped: bool
) -> None:
    told = {"error": {"message": "They say so.", **detail}}
    body = msgspec.json.encode([told] if wrapped else told)
    error = gemini.decode_error(status, {}, body, now_us=0)
    assert (type(error).__name__, error.status, error.code) == expected


def test_an_overfull_context_is_recognised() -> None:
    message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    told = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": message}}
    error = gemini.decode_error(400, {}, msgspec.json.encode(told), now_us=0)
    assert (error.code, error.message) == ("context_length_exceeded", message)


def test_retry_info_says_when_to_come_back() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    told = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": details}}
    assert gemini.decode_error(429, {}, msgspec.json.encode(told), now_us=0).retry_after_s == 34.5


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "text"}', b"null"])
def test_errors_that_say_nothing_useful_keep_their_status(body: bytes) -> None:
    error = gemini.decode_error(503, {}, body, now_us=0)
    assert isinstance(error, UpstreamError)
    assert error.upstream_status == 503
