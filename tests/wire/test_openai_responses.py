"""The official openai SDK against a running server: responses from a script, from a chat provider, and passed on."""

from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

from tests.support.http import Answer
from tests.support.server import Server
from tests.support.upstream import Upstream

TOOL: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
MODELS = ("chat", "fake", "relayed")
SAID = {
    "chat": "One two three four five.",
    "fake": "one two three four five six seven eight nine ten",
    "relayed": "one two three",
}
LADDER = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]
OPEN_RESPONSES = (
    "id", "object", "created_at", "status", "model", "output", "presence_penalty", "frequency_penalty", "top_logprobs",
    "temperature", "top_p", "tool_choice", "truncation", "background", "service_tier", "tools", "parallel_tool_calls",
    "metadata", "store", "text", "reasoning", "usage",
)  # fmt: skip


class City(BaseModel):
    city: str


def streamed(client: openai.OpenAI, **asked: Any) -> list[ResponseStreamEvent]:
    return list(client.responses.create(stream=True, **asked))


def kinds(events: list[ResponseStreamEvent]) -> list[str]:
    """Their types, each run of equal ones once."""
    found = [event.type for event in events]
    return [kind for place, kind in enumerate(found) if place == 0 or found[place - 1] != kind]


@pytest.mark.parametrize("model", MODELS)
def test_a_whole_response(client: openai.OpenAI, model: str) -> None:
    raw = client.responses.with_raw_response.create(model=model, input="Say something.", metadata={"a": "b"})
    answer = raw.parse()
    assert answer.output_text == SAID[model]
    assert (answer.status, answer.object, answer.error) == ("completed", "response", None)
    assert answer.metadata == {"a": "b"}
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.id.startswith("resp_")
    if model != "relayed":
        assert raw.headers["x-request-id"].removeprefix("req_") == answer.id.removeprefix("resp_")


@pytest.mark.parametrize("model", ["chat", "fake"])
def test_every_field_that_strict_clients_demand_is_there(server: Server, model: str) -> None:
    answer = server.ask("/v1/responses", json={"model": model, "input": "hi"}).json
    missing = [name for name in OPEN_RESPONSES if answer.get(name) is None]
    assert not missing
    (message,) = answer["output"]
    assert message["id"]
    assert message["status"] == "completed"
    assert message["content"][0]["logprobs"] == []
    assert message["content"][0]["annotations"] == []


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_climbs_the_whole_ladder(client: openai.OpenAI, model: str) -> None:
    events = streamed(client, model=model, input="Say something.")
    assert [kind for kind in kinds(events) if kind != "response.steer.accepted"] == LADDER
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in deltas) == SAID[model]
    assert all(event.logprobs == [] for event in deltas)
    assert len({event.item_id for event in deltas}) == 1
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == SAID[model]
    assert last.response.usage is not None


@pytest.mark.parametrize("model", MODELS)
def test_every_event_names_its_type_twice(server: Server, model: str) -> None:
    answer = server.ask("/v1/responses", json={"model": model, "input": "hi", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = answer.body.split(b"\n\n")
    assert frames.pop() == b""
    for frame in frames:
        event, data = frame.split(b"\n")
        kind = event.removeprefix(b"event: ")
        assert data.startswith(b'data: {"type":"%b"' % kind)


@pytest.mark.parametrize("model", MODELS)
def test_the_stream_helper_puts_it_together(client: openai.OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Say something.") as stream:
        final = stream.get_final_response()
    assert final.output_text == SAID[model]


@pytest.mark.parametrize("model", ["fake", "relayed"])
def test_a_function_is_called_and_answered(client: openai.OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "input": "weather?", "tools": [TOOL], "tool_choice": "required"}
    whole = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        final = stream.get_final_response()
    for answer in (whole, final):
        (said,) = [item.to_dict() for item in answer.output]
        assert said["type"] == "function_call"
        assert (said["name"], said["arguments"], said["status"]) == ("weather", '{"city": "Paris"}', "completed")
    (call,) = whole.output
    assert call.type == "function_call"
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    after = client.responses.create(model=model, previous_response_id=whole.id, input=[output], tools=[TOOL])
    assert after.output_text == SAID[model]


def test_a_functions_arguments_stream_and_are_told_with_its_name(client: openai.OpenAI) -> None:
    events = streamed(client, model="fake", input="weather?", tools=[TOOL], tool_choice="required")
    assert kinds(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    (done,) = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert done.to_dict()["name"] == "weather"
    assert done.arguments == '{"city": "Paris"}'


def test_structured_output_is_parsed(client: openai.OpenAI, upstream: Upstream) -> None:
    answer = client.responses.parse(model="relayed", input="Where?", text_format=City)
    assert answer.output_parsed == City(city="Paris")
    client.responses.create(
        model="fake",
        input="a schema for chat",
        text={"format": {"type": "json_schema", "name": "c", "schema": City.model_json_schema(), "strict": True}},
    )
    (request,) = [each for each in upstream.requests if b"a schema for chat" in each.body]
    assert request.json["response_format"]["json_schema"]["name"] == "c"
    assert request.json["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_cut_by_its_limit_is_incomplete(client: openai.OpenAI, model: str) -> None:
    whole = client.responses.create(model=model, input="hi", max_output_tokens=2)
    events = streamed(client, model=model, input="hi", max_output_tokens=2)
    assert events[-1].type == "response.incomplete"
    for answer in (whole, events[-1].response):
        assert answer.status == "incomplete"
        assert answer.incomplete_details is not None
        assert answer.incomplete_details.reason == "max_output_tokens"
        assert answer.output_text == " ".join(SAID[model].split()[:2])


def test_a_chat_provider_is_asked_in_its_own_words(client: openai.OpenAI, upstream: Upstream) -> None:
    image: Any = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
    client.responses.create(
        model="fake",
        instructions="Be brief.",
        input=[{"role": "user", "content": [{"type": "input_text", "text": "as a chat"}, image]}],
        max_output_tokens=50,
        reasoning={"effort": "low"},
        tools=[TOOL],
        parallel_tool_calls=False,
        text={"verbosity": "low"},
        user="somebody",
    )
    (request,) = [each for each in upstream.requests if b"as a chat" in each.body]
    assert request.path == "/v1/chat/completions"
    sent = request.json
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["messages"][1]["content"][1]["image_url"] == {"url": "data:image/png;base64,AAAA", "detail": "low"}
    assert sent["tools"][0]["function"]["name"] == "weather"
    assert (sent["max_completion_tokens"], sent["reasoning_effort"], sent["verbosity"]) == (50, "low", "low")
    assert (sent["parallel_tool_calls"], sent["user"]) == (False, "somebody")


# Passed through


def test_what_nobody_knows_passes_through_untouched(client: openai.OpenAI, upstream: Upstream) -> None:
    unknown: Any = {"type": "from_the_future", "payload": {"x": 1}}
    raw = client.responses.with_raw_response.create(
        model="relayed", input=[{"role": "user", "content": "unknown things"}, unknown], extra_body={"new_option": 7}
    )
    (request,) = [each for each in upstream.requests if b"unknown things" in each.body]
    assert request.path == "/v1/responses"
    assert request.json["input"][1] == unknown
    assert request.json["new_option"] == 7
    assert raw.http_response.json()["something_new"] == {"kept": True}


def test_events_of_unknown_types_pass_through(server: Server) -> None:
    answer = server.ask("/v1/responses", json={"model": "relayed", "input": "hi", "stream": True})
    frames = answer.body.split(b"\n\n")
    assert (
        b'event: response.steer.accepted\ndata: {"type":"response.steer.accepted","sequence_number":2,'
        b'"secret":{"deep":[1,null]}}' in frames
    )
    assert any(b'"obfuscation":"xyz"' in frame for frame in frames)


def test_hosted_tools_reach_a_provider_that_has_them_and_are_refused_elsewhere(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="relayed", input="hi", tools=[{"type": "web_search"}])
    assert [item.type for item in answer.output] == ["web_search_call", "message"]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="fake", input="hi", tools=[{"type": "web_search"}])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tools[0]")


def test_a_previous_response_of_ours_is_put_into_the_input(client: openai.OpenAI, upstream: Upstream) -> None:
    first = client.responses.create(model="relayed", input="the first turn")
    second = client.responses.create(model="relayed", input="the second turn", previous_response_id=first.id)
    (request,) = [each for each in upstream.requests if b"the second turn" in each.body]
    assert "previous_response_id" not in request.json
    assert [item.get("role") for item in request.json["input"]] == ["user", "assistant", "user"]
    assert request.json["input"][1]["id"] == first.output[0].id
    assert second.previous_response_id == first.id
    assert client.responses.retrieve(second.id) == second
    chatted = client.responses.create(model="fake", input="the third, elsewhere", previous_response_id=second.id)
    (request,) = [each for each in upstream.requests if b"the third, elsewhere" in each.body]
    assert [message["role"] for message in request.json["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    back = client.responses.create(model="relayed", input="and back again", previous_response_id=chatted.id)
    (request,) = [each for each in upstream.requests if b"and back again" in each.body]
    ours = request.json["input"][5]
    assert ours["role"] == "assistant"
    assert "id" not in ours, "a provider would look for an id of ours in vain"
    assert back.output_text == SAID["relayed"]


def test_a_previous_response_only_the_provider_keeps_is_passed_on(client: openai.OpenAI, upstream: Upstream) -> None:
    first = client.responses.create(model="relayed", input="hi", store=False)
    second = client.responses.create(model="relayed", input="on it goes", previous_response_id=first.id)
    (request,) = [each for each in upstream.requests if b"on it goes" in each.body]
    assert request.json["previous_response_id"] == first.id
    third = client.responses.create(model="relayed", input="and on", previous_response_id=second.id)
    (request,) = [each for each in upstream.requests if b'"and on"' in each.body]
    assert request.json["previous_response_id"] == second.id, "half a conversation is not one of ours"
    assert third.output_text == SAID["relayed"]


# Kept


@pytest.mark.parametrize("model", MODELS)
def test_a_response_is_found_as_soon_as_it_was_read(client: openai.OpenAI, model: str) -> None:
    whole = client.responses.create(model=model, input="hi")
    assert client.responses.retrieve(whole.id) == whole
    last = streamed(client, model=model, input="hi")[-1]
    assert last.type == "response.completed"
    assert client.responses.retrieve(last.response.id) == last.response


def test_a_response_that_is_not_stored_is_not_found(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="chat", input="hi", store=False)
    assert answer.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.retrieve(answer.id)
    assert missing.value.param == "response_id"
    with pytest.raises(openai.BadRequestError) as unknown:
        client.responses.create(model="chat", input="more", previous_response_id=answer.id)
    assert unknown.value.code == "previous_response_not_found"


def test_a_deleted_response_is_gone(client: openai.OpenAI, server: Server) -> None:
    answer = client.responses.create(model="chat", input="hi")
    client.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(answer.id)


def test_input_items_are_paged(client: openai.OpenAI) -> None:
    first = client.responses.create(model="chat", input="turn one")
    items: Any = [{"role": "user", "content": f"part {number}"} for number in range(5)]
    second = client.responses.create(model="chat", input=items, previous_response_id=first.id)
    listed = list(client.responses.input_items.list(second.id, limit=2, order="asc"))
    assert len(listed) == 7
    assert len({item.id for item in listed}) == 7
    texts = [item.to_dict()["content"][0]["text"] for item in listed]  # type: ignore[index]  # messages all
    assert texts == ["turn one", SAID["chat"], *(f"part {number}" for number in range(5))]
    latest = client.responses.input_items.list(second.id, limit=1)
    assert latest.has_more
    assert latest.data[0] == listed[-1]
    with pytest.raises(openai.BadRequestError):
        client.responses.input_items.list(second.id, after="msg_nowhere")


def test_input_tokens_are_estimated(client: openai.OpenAI) -> None:
    few = client.responses.input_tokens.count(model="chat", input="hi")
    many = client.responses.input_tokens.count(model="chat", input="hi " * 400, tools=[TOOL])
    assert few.object == "response.input_tokens"
    assert 0 < few.input_tokens < 20 < 250 < many.input_tokens


# Errors

NO_CALL = {"type": "function_call_output", "output": "x"}
NO_NAME = {"format": {"type": "json_schema"}}


@pytest.mark.parametrize("model", ["relayed-fails", "relayed-error", "relayed-cut", "relayed-reset", "error-frame"])
def test_a_broken_stream_ends_in_response_failed(client: openai.OpenAI, model: str) -> None:
    events = streamed(client, model=model, input="hi")
    assert events[0].type == "response.created"
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.id == events[0].response.id
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert client.responses.retrieve(last.response.id).status == "failed"


def test_a_whole_response_that_failed_at_the_provider_is_an_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        client.responses.create(model="relayed-fails", input="hi")
    assert "the model fell over" in str(failed.value)


def test_a_providers_refusal_arrives_in_its_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="relayed-refuses", input="hi")
    assert "the provider's own words" in str(refused.value)
    assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({}, "missing_required_parameter", "input"),
        ({"input": 5}, "invalid_type", "input"),
        ({"input": "hi", "temperature": 3}, "decimal_above_max_value", "temperature"),
        ({"input": "hi", "conversation": "conv_1"}, "unsupported_parameter", "conversation"),
        ({"input": [{"role": "nobody", "content": "hi"}]}, "invalid_value", "input[0].role"),
        (
            {"input": [{"type": "function_call_output", "output": "x"}]},
            "missing_required_parameter",
            "input[0].call_id",
        ),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "unsupported_parameter", "input[0]"),
        ({"input": "hi", "background": True, "store": False}, "invalid_value", "background"),
        ({"input": "hi", "tool_choice": "required"}, "invalid_value", "tool_choice"),
        (
            {"input": "hi", "text": {"format": {"type": "json_schema"}}},
            "missing_required_parameter",
            "text.format.name",
        ),
        ({"input": "hi", "prompt": {"id": "pmpt_1"}}, "unsupported_parameter", "prompt"),
        ({"input": "hi", "previous_response_id": "resp_x"}, "previous_response_not_found", "previous_response_id"),
    ],
)
def test_what_is_wrong_is_said(server: Server, asked: dict[str, Any], code: str, param: str) -> None:
    answer: Answer = server.ask("/v1/responses", json={"model": "chat", **asked})
    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (400, code, param)
    assert error["type"] == "invalid_request_error"


def test_an_unknown_model_is_404(client: openai.OpenAI) -> None:
    for asked in ({}, {"stream": True}, {"background": True}):
        with pytest.raises(openai.NotFoundError) as missing:
            client.responses.create(model="nobody", input="hi", **asked)  # type: ignore[call-overload]
        assert missing.value.code == "model_not_found"
