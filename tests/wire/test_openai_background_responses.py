"""The official openai SDK against a running server: responses that are made while nobody waits."""

import time

import openai
import pytest
from openai.types.responses import Response

from tests.support.server import Server, until
from tests.support.upstream import Upstream

SAID = {
    "chat": "One two three four five.",
    "fake": "one two three four five six seven eight nine ten",
    "relayed": "one two three",
}
MODELS = tuple(SAID)


def finished(client: openai.OpenAI, response_id: str) -> Response:
    deadline = time.monotonic() + 20
    while (answer := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer


@pytest.mark.parametrize("model", MODELS)
def test_a_background_response_comes_to_its_end(client: openai.OpenAI, server: Server, model: str) -> None:
    accepted = client.responses.create(model=model, input="hi", background=True, user=f"background-{model}")
    assert (accepted.status, accepted.background, accepted.output) == ("queued", True, [])
    answer = finished(client, accepted.id)
    assert (answer.id, answer.status, answer.background) == (accepted.id, "completed", True)
    assert answer.output_text == SAID[model]
    until(lambda: any(row.end_user == f"background-{model}" for row in server.rows()))
    (row,) = [each for each in server.rows() if each.end_user == f"background-{model}"]
    assert (row.status, row.endpoint) == (200, "/v1/responses")
    assert row.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_background_stream_can_be_left_and_taken_up_again(client: openai.OpenAI, model: str) -> None:
    with client.responses.create(model=model, input="hi", background=True, stream=True) as stream:
        begun = [event for event, _ in zip(stream, range(3), strict=False)]
    assert [event.type for event in begun[:2]] == ["response.created", "response.queued"]
    assert begun[0].type == "response.created"
    response_id = begun[0].response.id
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=1))
    assert rest[0].type == "response.in_progress"
    assert [event.sequence_number for event in rest] == list(range(2, 2 + len(rest)))
    last = rest[-1]
    assert last.type == "response.completed"
    assert last.response.id == response_id
    assert last.response.output_text == SAID[model]
    again = list(client.responses.retrieve(response_id, stream=True))
    assert [event.type for event in again] == ["response.created", "response.queued", *(event.type for event in rest)]


def test_a_cancelled_response_stops_the_provider(client: openai.OpenAI, upstream: Upstream) -> None:
    accepted = client.responses.create(model="endless", input="hi", background=True, user="one-who-cancels-later")
    until(lambda: any(each.json.get("user") == "one-who-cancels-later" for each in upstream.requests))
    (peer,) = [
        each for each in upstream.peers if any(r.json.get("user") == "one-who-cancels-later" for r in each.requests)
    ]
    cancelled = client.responses.cancel(accepted.id)
    assert (cancelled.id, cancelled.status) == (accepted.id, "cancelled")
    until(peer.closed.is_set, within_s=5.0, every_s=0.005)
    assert peer.closed_by_client
    assert client.responses.cancel(accepted.id).status == "cancelled"
    events = list(client.responses.retrieve(accepted.id, stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "cancelled"


def test_a_failed_background_response_says_why(client: openai.OpenAI) -> None:
    accepted = client.responses.create(model="relayed-fails", input="hi", background=True)
    answer = finished(client, accepted.id)
    assert (answer.id, answer.status) == (accepted.id, "failed")
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == ("server_error", "the model fell over")


def test_only_background_responses_can_be_cancelled_or_streamed_again(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="chat", input="hi")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(answer.id)
    with pytest.raises(openai.BadRequestError):
        list(client.responses.retrieve(answer.id, stream=True))
