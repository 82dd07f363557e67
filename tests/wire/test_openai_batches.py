"""The official openai SDK against a running server: batches."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import openai
import pytest
from openai.types import Batch

from tests.support.server import Server

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
ENDED = {"completed", "failed", "expired", "cancelled"}


def line(custom_id: str, body: Mapping[str, Any], *, url: str = CHAT, **fields: Any) -> bytes:
    return msgspec.json.encode({"custom_id": custom_id, "method": "POST", "url": url, "body": body} | fields)


def asking(text: str = "hi", *, model: str = "chat", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def begin(client: openai.OpenAI, *lines: bytes, endpoint: Any = CHAT, **fields: Any) -> Batch:
    file = client.files.create(file=("in.jsonl", b"\n".join(lines)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **fields)


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    deadline = time.monotonic() + 60
    while batch.status not in ENDED:
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of an output or error file by custom id."""
    if file_id is None:
        return {}
    read = [msgspec.json.decode(each) for each in client.files.content(file_id).read().splitlines()]
    assert all(set(each) == {"id", "custom_id", "response", "error"} for each in read)
    assert len({each["id"] for each in read}) == len(read)
    return {each["custom_id"]: each for each in read}


def test_a_batch_is_answered_line_by_line(client: openai.OpenAI) -> None:
    asked = [line(f"line-{number}", asking(f"say {number}")) for number in range(20)]
    batch = begin(client, *asked, metadata={"mine": "yes"})
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", CHAT)
    assert (batch.completion_window, batch.metadata) == ("24h", {"mine": "yes"})
    assert batch.expires_at == batch.created_at + 86_400
    batch = ended(client, batch)
    assert (batch.status, batch.error_file_id, batch.errors) == ("completed", None, None)
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 20, "completed": 20, "failed": 0}
    assert batch.model == "chat"
    answers = lines_of(client, batch.output_file_id)
    assert set(answers) == {f"line-{number}" for number in range(20)}
    for each in answers.values():
        assert each["error"] is None
        assert each["response"]["status_code"] == 200
        assert each["response"]["request_id"].startswith("req_")
        assert each["response"]["body"]["choices"][0]["message"]["content"] == "One two three four five."
    assert batch.usage is not None
    assert batch.usage.output_tokens == 20 * 5
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens
    assert batch.created_at <= (batch.in_progress_at or 0) <= (batch.finalizing_at or 0) <= (batch.completed_at or 0)
    output = client.files.retrieve(batch.output_file_id or "")
    assert (output.purpose, output.filename) == ("batch_output", f"{batch.id}_output.jsonl")


@pytest.mark.parametrize(
    ("endpoint", "body", "is_answer"),
    [
        (CHAT, asking(model="fake"), lambda body: body["choices"][0]["message"]["role"] == "assistant"),
        (COMPLETIONS, {"model": "fake", "prompt": "Once"}, lambda body: body["object"] == "text_completion"),
        (EMBEDDINGS, {"model": "fake", "input": ["a", "b"]}, lambda body: len(body["data"]) == 2),
        ("/v1/responses", {"model": "chat", "input": "hi"}, lambda body: body["status"] == "completed"),
        ("/v1/moderations", {"input": "hello"}, lambda body: body["results"][0]["flagged"] is False),
    ],
)
def test_every_endpoint_answers_as_it_does_elsewhere(
    client: openai.OpenAI, endpoint: str, body: dict[str, Any], is_answer: Any
) -> None:
    batch = ended(client, begin(client, line("one", body, url=endpoint), endpoint=endpoint))
    assert batch.status == "completed", batch
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 1, lines_of(client, batch.error_file_id)
    assert is_answer(lines_of(client, batch.output_file_id)["one"]["response"]["body"])


def test_what_is_refused_is_in_the_error_file(client: openai.OpenAI) -> None:
    batch = ended(client, begin(client, line("good", asking()), line("bad", asking(model="refuses"))))
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 2, "completed": 1, "failed": 1}
    assert set(lines_of(client, batch.output_file_id)) == {"good"}
    refused = lines_of(client, batch.error_file_id)
    assert set(refused) == {"bad"}
    assert refused["bad"]["response"]["status_code"] == 422
    assert set(refused["bad"]["response"]["body"]["error"]) == {"message", "type", "code", "param"}
    assert batch.model is None


def test_a_wrong_line_fails_the_batch_and_is_named(client: openai.OpenAI) -> None:
    batch = ended(
        client,
        begin(
            client,
            line("one", asking()),
            b"",
            b"{not json",
            line("one", asking()),
            line("three", asking(), url=COMPLETIONS),
            line("four", asking(), method="GET"),
            line("five", {"model": "chat"}),
            line("six", asking(model="nobody")),
            line("seven", asking(stream=True)),
            b'{"custom_id": "eight", "method": "POST", "url": "/v1/chat/completions"}',
        ),
    )
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert batch.errors is not None
    assert [(each.line, each.code) for each in batch.errors.data or []] == [
        (3, "invalid_json_line"),
        (4, "duplicate_custom_id"),
        (5, "invalid_url"),
        (6, "invalid_method"),
        (7, "missing_required_parameter"),
        (8, "model_not_found"),
        (9, "unsupported_parameter"),
        (10, "missing_required_parameter"),
    ]
    assert all(each.message for each in batch.errors.data or [])


def test_an_empty_file_fails(client: openai.OpenAI) -> None:
    batch = ended(client, begin(client, b"\n \n"))
    assert batch.errors is not None
    assert [each.code for each in batch.errors.data or []] == ["empty_file"]


def test_a_cancelled_batch_keeps_what_was_answered(client: openai.OpenAI) -> None:
    slow = [line(f"slow-{number}", asking(model="endless")) for number in range(12)]
    batch = begin(client, line("quick", asking()), *slow)
    deadline = time.monotonic() + 30
    while batch.request_counts is None or batch.request_counts.completed < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    asked = client.batches.cancel(batch.id)
    assert asked.status == "cancelling"
    assert asked.cancelling_at is not None
    batch = ended(client, asked)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    assert set(lines_of(client, batch.output_file_id)) == {"quick"}
    left = lines_of(client, batch.error_file_id)
    assert set(left) == {f"slow-{number}" for number in range(12)}
    assert {each["error"]["code"] for each in left.values()} == {"batch_cancelled"}
    with pytest.raises(openai.ConflictError) as caught:
        client.batches.cancel(batch.id)
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_batches_are_paged_by_the_sdk(client: openai.OpenAI) -> None:
    made = [begin(client, line("a", asking())).id for _ in range(3)]
    assert [batch.id for batch in client.batches.list(limit=2)][:3] == made[::-1]
    assert [batch.id for batch in client.batches.list(limit=1, after=made[1]).data] == [made[0]]
    with pytest.raises(openai.BadRequestError):
        client.batches.list(after="batch_none")
    with pytest.raises(openai.NotFoundError) as caught:
        client.batches.retrieve("batch_none")
    assert caught.value.code == "unknown_batch"
    with pytest.raises(openai.NotFoundError):
        client.batches.cancel("batch_none")


def test_orders_that_make_no_sense_are_refused(client: openai.OpenAI) -> None:
    wrong = client.files.create(file=("a", b"x"), purpose="user_data").id
    right = client.files.create(file=("a", b"x"), purpose="batch").id
    good: dict[str, Any] = {"input_file_id": right, "endpoint": CHAT, "completion_window": "24h"}
    for change, param in (
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"input_file_id": wrong}, "input_file_id"),
        ({"endpoint": "/v1/audio/speech"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.batches.create(**good | change)
        assert caught.value.param == param, caught.value


def test_lines_are_booked_as_calls_of_their_batch(client: openai.OpenAI, server: Server) -> None:
    batch = ended(client, begin(client, line("a", asking(model="chat")), line("b", asking(model="chat"))))
    deadline = time.monotonic() + 20
    while len(booked := [row for row in server.rows() if row.tags == {"batch": batch.id}]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {(row.endpoint, row.status, row.output_tokens) for row in booked} == {("/v1/batches", 200, 5)}
