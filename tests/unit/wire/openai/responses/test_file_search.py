"""`file_search` for models without one: what is asked, what is put before the question, what is cited."""

from typing import Any

import pytest

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, Message, Part
from undercroft.wire.openai.responses import (
    Cited,
    Retrieved,
    asked_search,
    decode,
    question_in,
    request_of,
    with_passages,
    without_search,
)

TIDES = Cited(
    file_id="file-1",
    filename="tides.md",
    score=0.9,
    attributes={},
    text="The tide comes in twice a day. It is the moon.",
)
ARCHIVE = Cited(file_id="file-2", filename="a.md", score=0.8, attributes={}, text="The archive is closed on Mondays.")


def retrieved(*passages: Cited) -> Retrieved:
    return Retrieved(queries=["q"], passages=passages, tells_results=True)


def body(**fields: Any) -> bytes:
    import msgspec

    tool = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    return msgspec.json.encode({"model": "m", "input": "When?", "tools": [tool], **fields})


def test_the_tool_is_read_with_openais_defaults() -> None:
    tool = asked_search(decode(body()).body)
    assert tool is not None
    assert (tool.vector_store_ids, tool.max_num_results, tool.filters) == (["vs_1"], 20, None)


@pytest.mark.parametrize("fields", [{"tool_choice": "none"}, {"tools": None}, {"tools": []}])
def test_no_search_is_made_that_is_not_wanted(fields: dict[str, Any]) -> None:
    assert asked_search(decode(body(**fields)).body) is None


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "file_search"},
        {"type": "file_search", "vector_store_ids": []},
        {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 51},
        {"type": "file_search", "vector_store_ids": ["vs_1"], "ranking_options": {"score_threshold": 2}},
    ],
)
def test_a_tool_that_is_wrong_is_refused_with_its_place(tool: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked_search(decode(body(tools=[{"type": "function", "name": "f"}, tool])).body)
    assert caught.value.param == "tools[1]"


def test_the_tool_does_not_reach_the_model() -> None:
    request = request_of(decode(body()), None)
    assert [tool.name for tool in request.tools] == ["file_search"]
    assert without_search(request).tools == ()


def asked(*messages: Message) -> ChatRequest:
    return ChatRequest(model="m", messages=messages)


def test_the_question_is_what_the_user_said_last() -> None:
    request = asked(
        Message(role="user", content="first"), Message(role="assistant", content="yes"),
        Message(role="user", content=(Part(type="text", text=" second "),)),
    )  # fmt: skip
    assert question_in(request) == "second"
    assert question_in(asked(Message(role="system", content="x"))) == ""


def test_passages_stand_before_the_last_question() -> None:
    request = asked(Message(role="user", content="first"), Message(role="user", content="When is it closed?"))
    led, kept = with_passages(request, retrieved(ARCHIVE, TIDES), most_tokens=1000)
    assert led.messages[0].content == "first"
    said = led.messages[1].text()
    assert said.index("a.md:\nThe archive is closed") < said.index("tides.md:") < said.index("When is it closed?")
    assert kept.passages == (ARCHIVE, TIDES)


def test_only_as_many_passages_as_fit_are_told_and_cited() -> None:
    request = asked(Message(role="user", content="When?"))
    led, kept = with_passages(request, retrieved(ARCHIVE, TIDES), most_tokens=20)
    assert kept.passages == (ARCHIVE,)
    assert "tide" not in led.messages[0].text()
    _, least = with_passages(request, retrieved(ARCHIVE), most_tokens=1)
    assert least.passages == (ARCHIVE,), "the best one is told in any case"


def test_where_nothing_was_found_the_model_is_told_so() -> None:
    led, _ = with_passages(asked(Message(role="user", content="When?")), retrieved(), most_tokens=100)
    assert "Nothing was found" in led.messages[0].text()


def test_a_sentence_that_says_what_a_passage_says_is_cited() -> None:
    text = "The archive is closed on Monday. I wish you well. The tides come in twice every day"
    found = retrieved(TIDES, ARCHIVE).annotations(text)
    assert found == [
        {"type": "file_citation", "file_id": "file-2", "filename": "a.md", "index": 32},
        {"type": "file_citation", "file_id": "file-1", "filename": "tides.md", "index": len(text)},
    ]


@pytest.mark.parametrize("text", ["", " ", "Yes.", "Nothing of this was ever said anywhere."])
def test_what_no_passage_says_is_not_cited(text: str) -> None:
    assert retrieved(TIDES, ARCHIVE).annotations(text) == []
    assert retrieved().annotations("The archive is closed on Mondays.") == []
