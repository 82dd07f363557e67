from typing import Any

import msgspec
import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, Sampling
from undercroft.wire.openai.responses.items import PREVIOUS
from undercroft.wire.openai.responses.request import Asked, Turn, decode, request_of


def asked(**fields: Any) -> Asked:
    return decode(msgspec.json.encode({"input": "hi", **fields}))


def source(request: ChatRequest) -> dict[str, Any]:
    assert request.source is not None
    assert request.source.dialect == "openai.responses"
    read: dict[str, Any] = msgspec.json.decode(request.source.body)
    return read


def test_a_request_is_a_conversation() -> None:
    request = request_of(
        asked(
            model="m",
            instructions="Be brief.",
            max_output_tokens=5,
            temperature=0.5,
            top_p=0.9,
            stream=True,
            parallel_tool_calls=False,
            reasoning={"effort": "high", "summary": "auto"},
            metadata={"a": "b"},
            user="somebody",
        ),
        None,
    )
    assert request.messages == (Message(role="system", content="Be brief."), Message(role="user", content="hi"))
    assert request.sampling == Sampling(temperature=0.5, top_p=0.9, max_tokens=5)
    assert (request.model, request.stream, request.end_user) == ("m", True, "somebody")
    assert (request.reasoning_effort, request.parallel_tool_calls) == ("high", False)
    assert request.metadata == {"a": "b"}


def test_the_bytes_stay_as_they_came() -> None:
    body = b'{ "input":"hi" ,"unknown":{"deep":[1e3,null]},"input":"hi"}'
    request = request_of(decode(body), None)
    assert request.source is not None
    assert request.source.body == body


@pytest.mark.parametrize(
    ("fields", "wanted", "top"),
    [
        ({}, False, None),
        ({"include": ["message.output_text.logprobs"]}, True, None),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, True, 3),
        ({"top_logprobs": 3}, True, 3),
        ({"top_logprobs": 0}, False, None),
    ],
)
def test_log_probabilities_are_asked_for_in_two_ways(fields: dict[str, Any], wanted: bool, top: int | None) -> None:
    request = request_of(asked(**fields), None)
    assert (request.logprobs, request.top_logprobs) == (wanted, top)


def test_an_earlier_conversation_takes_the_place_of_its_id() -> None:
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": "yes"}
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    turns = [
        Turn([{"role": "user", "content": "one"}], [thought, message], is_relayed=True),
        Turn([{"role": "user", "content": "two"}], [thought, message], is_relayed=False),
    ]
    request = request_of(asked(previous_response_id="resp_1", instructions="New.", extra=1), turns)
    assert [(each.role, each.content) for each in request.messages] == [
        ("system", "New."),
        ("user", "one"),
        ("assistant", "yes"),
        ("user", "two"),
        ("assistant", "yes"),
        ("user", "hi"),
    ]
    sent = source(request)
    assert "previous_response_id" not in sent
    assert sent["extra"] == 1
    bare = {name: value for name, value in message.items() if name not in ("id", "status")}
    assert sent["input"] == [
        {"role": "user", "content": "one"},
        thought,
        message,
        {"role": "user", "content": "two"},
        bare,
        {"role": "user", "content": "hi"},
    ]


def test_an_id_that_is_not_ours_rides_along() -> None:
    request = request_of(asked(previous_response_id="resp_theirs"), None)
    assert source(request)["previous_response_id"] == "resp_theirs"
    content = request.messages[0].content
    assert isinstance(content, tuple)
    (part,) = content
    assert (part.type, part.data) == (PREVIOUS, {"id": "resp_theirs"})


def test_a_background_request_is_streamed_from_its_provider() -> None:
    request = request_of(asked(background=True), None)
    assert request.stream
    sent = source(request)
    assert sent["stream"] is True
    assert "background" not in sent


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"input": None}, "input"),
        ({"background": True, "store": False}, "background"),
        ({"truncation": "sometimes"}, "truncation"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(**fields)
    assert refused.value.param == param


def test_a_continued_response_needs_no_input() -> None:
    decode(b'{"previous_response_id":"resp_1"}')
