"""Estimates of what a conversation is in tokens."""

from typing import Any

from undercroft.llm.tokens import TOKENS_PER_IMAGE, TOKENS_PER_TOOL, estimate_conversation
from undercroft.llm.types import ChatRequest, Message, Part, ResponseFormat, Tool, ToolCall


def estimated(*messages: Message, **fields: Any) -> int:
    return estimate_conversation(ChatRequest(model="m", messages=messages, **fields))


HI = Message(role="user", content="12345678")


def test_everything_that_is_sent_counts() -> None:
    plain = estimated(HI)
    image = Part(type="image_url", data={"image_url": {"url": "https://example.com/a.png"}})
    assert estimated(Message(role="user", content=(Part(type="text", text="12345678"), image))) == (
        plain + TOKENS_PER_IMAGE
    )
    assert estimated(HI, tools=(Tool(name="f", description="d" * 40),)) > plain + TOKENS_PER_TOOL + 10
    assert estimated(HI, tools=(Tool(name="f", type="hosted", format={"a": "d" * 40}),)) > plain + TOKENS_PER_TOOL + 10
    called = Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments="a" * 40),))
    assert estimated(HI, called) > plain + 10
    shape = ResponseFormat(type="json_schema", schema={"type": "object", "description": "d" * 40})
    assert estimated(HI, response_format=shape) > plain + 10
