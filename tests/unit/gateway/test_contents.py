"""A stream's pieces make the text that a whole answer has."""

import json

from undercroft.gateway.contents import Answer, Content
from undercroft.llm.types import ChatRequest, Choice, Chunk, Message, Source, ToolCallDelta


def test_pieces_are_put_together_by_choice() -> None:
    answer = Answer()
    answer.take(Chunk(choices=(Choice(index=1, text="B"), Choice(text="A", reasoning="Hm"))))
    answer.take(Chunk(choices=(Choice(text="a", finish_reason="stop"), Choice(index=1, text="b"))))
    assert answer.written() == {
        "choices": [
            {"index": 0, "text": "Aa", "reasoning": "Hm", "finish_reason": "stop"},
            {"index": 1, "text": "Bb"},
        ]
    }


def test_a_tool_call_is_one_whatever_its_pieces() -> None:
    answer = Answer()
    answer.take(Chunk(choices=(Choice(tool_calls=(ToolCallDelta(index=0, id="c", name="find", arguments='{"a"'),)),)))
    answer.take(
        Chunk(choices=(Choice(tool_calls=(ToolCallDelta(index=0, arguments=": 1}"),), finish_reason="tool_calls"),))
    )
    (choice,) = answer.written()["choices"]
    assert choice["tool_calls"] == [{"name": "find", "arguments": '{"a": 1}'}]


def test_of_vectors_only_their_number_is_kept() -> None:
    answer = Answer()
    answer.take(Chunk(vectors=(memoryview(b""), memoryview(b""))))
    assert answer.written() == {"choices": [], "vectors": 2}


def test_a_request_is_kept_as_it_was_written_where_it_still_stands() -> None:
    request = ChatRequest(model="chat", messages=(Message(role="user", content="Hi"),))
    whole = {"id": "req_1", "organisation": "default", "created_us": 1, "answer": Answer()}
    written = json.loads(Content(request=request, **whole).request_json())  # type: ignore[arg-type]  # by name
    assert written == {"model": "chat", "messages": [{**written["messages"][0], "role": "user", "content": "Hi"}]} | {
        name: value for name, value in written.items() if name not in ("model", "messages")
    }
    source = Source(dialect="openai", body=b'{"model": "chat"}')  # type: ignore[arg-type]  # a dialect
    relayed = ChatRequest(model="chat", messages=(), source=source)
    assert Content(request=relayed, **whole).request_json() == '{"model": "chat"}'  # type: ignore[arg-type]  # by name
