"""From OpenAI's format to Anthropic's and back: nothing is lost that both can say."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from undercroft.llm.types import ChatRequest, Content, Message, Part
from undercroft.llm.unsupported import Unsupported
from undercroft.wire import anthropic
from undercroft.wire.anthropic import Reading
from undercroft.wire.openai import chat
from undercroft.wire.sse import Events

# Anthropic takes no empty texts, and ids and names of these characters only.
words = st.text(min_size=1, max_size=12).filter(str.strip)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,16}", fullmatch=True)
urls = st.sampled_from(["https://example.com/a.png", "data:image/png;base64,AAAA", "data:image/jpeg;base64,BBBB"])

text_parts = words.map(lambda text: {"type": "text", "text": text})
images = urls.map(lambda url: {"type": "image_url", "image_url": {"url": url}})
pdfs = st.just({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}})
said = words | st.lists(text_parts | images | pdfs, min_size=1, max_size=3)
values = st.dictionaries(names, st.integers(0, 99) | words | st.booleans() | st.none(), max_size=3)


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A conversation as OpenAI's clients write it: every call is answered before anybody goes on."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(words)})
    messages.append({"role": "user", "content": draw(said)})
    for number in range(draw(st.integers(0, 3))):
        ids = [f"call_{number}_{place}" for place in range(draw(st.integers(0, 2)))]
        calls = [
            {
                "id": name,
                "type": "function",
                "function": {"name": draw(names), "arguments": msgspec.json.encode(draw(values)).decode()},
            }
            for name in ids
        ]
        spoken = draw(words) if not calls or draw(st.booleans()) else None
        messages.append({"role": "assistant", "content": spoken, **({"tool_calls": calls} if calls else {})})
        messages += [{"role": "tool", "tool_call_id": name, "content": draw(words)} for name in ids]
        if not calls or draw(st.booleans()):
            messages.append({"role": "user", "content": draw(said)})
    return messages


def _named(tool: dict[str, Any]) -> str:
    name: str = tool["function"]["name"]
    return name


tools = st.lists(
    st.builds(
        lambda name, description, strict: {
            "type": "function",
            "function": {
                "name": name,
                "description": description,
                "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
                "strict": strict,
            },
        },
        names,
        words,
        st.booleans(),
    ),
    max_size=3,
    unique_by=_named,
)

options = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "max_completion_tokens": st.integers(1, 9999),
        "stop": st.lists(words, min_size=1, max_size=4),
        "stream": st.booleans(),
        "user": words,
        "parallel_tool_calls": st.just(value=False),
        "reasoning_effort": st.sampled_from(["low", "medium", "high", "xhigh"]),
    },
)


def plain(content: Content) -> Content:
    """A text and a list of that one text say the same."""
    if isinstance(content, tuple) and all(part == Part(type="text", text=part.text) for part in content):
        return "".join(part.text for part in content)
    return content


def normal(request: ChatRequest) -> ChatRequest:
    messages = tuple(
        Message(
            role=message.role,
            content=plain(message.content) or None,
            tool_calls=message.tool_calls,
            tool_call_id=message.tool_call_id,
        )
        for message in request.messages
    )
    return msgspec.structs.replace(request, messages=messages, source=None, model="m")


@given(turns(), tools, options, st.data())
def test_a_conversation_comes_back_as_it_was(
    messages: list[dict[str, Any]], declared: list[dict[str, Any]], fields: dict[str, Any], data: st.DataObject
) -> None:
    body = {"model": "m", "messages": messages, **fields, "max_completion_tokens": 100}
    if declared:
        forced = {"type": "function", "function": {"name": declared[0]["function"]["name"]}}
        body |= {"tools": declared, "tool_choice": data.draw(st.sampled_from(["auto", "none", "required", forced]))}
        if body["tool_choice"] == "none":
            body.pop("parallel_tool_calls", None)  # no calls at all, let alone two
    else:
        body.pop("parallel_tool_calls", None)
    asked = chat.decode(msgspec.json.encode(body))
    lost = Unsupported("claude-sonnet-5-5", drop=False)
    written = anthropic.encode_request(asked, model="claude-sonnet-5-5", lost=lost).body
    again = anthropic.decode(written)
    assert lost.names == []
    assert normal(again) == normal(asked)


@given(
    st.lists(st.text(min_size=1, max_size=8), max_size=5),
    st.lists(st.tuples(names, values), max_size=3),
    st.sampled_from(["stop", "length", "content_filter"]),
    st.integers(0, 999),
)
def test_an_answer_comes_back_as_it_was(
    texts: list[str], called: list[tuple[str, dict[str, Any]]], reason: str, tokens: int
) -> None:
    events: list[dict[str, Any]] = [{"role": "assistant"}, *({"content": text} for text in texts)]
    for index, (name, arguments) in enumerate(called):
        opening = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name}}
        events.append({"tool_calls": [opening]})
        written_out = msgspec.json.encode(arguments).decode()
        events += [
            {"tool_calls": [{"index": index, "function": {"arguments": half}}]}
            for half in (written_out[:3], written_out[3:])
        ]
    ending = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if called else reason}
    usage = {"prompt_tokens": 7 + tokens, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": 3}}
    payloads: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in events]
    payloads += [{"choices": [ending]}, {"choices": [], "usage": usage}]
    given_chunks = [chat.decode_chunk(msgspec.json.encode(payload)) for payload in payloads]

    writer = anthropic.MessageStream(id="msg_1", request_id="req_1", model="m")
    wire = b"".join([*(writer.frame(chunk) for chunk in given_chunks), writer.end()])
    reading = Reading()
    read = [chunk for event in Events().feed(wire) if (chunk := reading.read(event)) is not None]

    def added_up(chunks: list[Any]) -> Any:
        choices = [choice for chunk in chunks for choice in chunk.choices]
        calls: dict[int, list[Any]] = {}
        for piece in (piece for choice in choices for piece in choice.tool_calls):
            known = calls.setdefault(piece.index, [None, None, ""])
            known[:] = [known[0] or piece.id, known[1] or piece.name, known[2] + piece.arguments]
        return (
            "".join(choice.text for choice in choices),
            {index: (*named, msgspec.json.decode(text)) for index, (*named, text) in calls.items()},
            [choice.finish_reason for choice in choices if choice.finish_reason],
            [chunk.usage for chunk in chunks if chunk.usage][-1],
        )

    assert added_up(read) == added_up(given_chunks)
