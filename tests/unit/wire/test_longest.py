"""An end is set to an answer in the words of each format, and nothing else is changed."""

import msgspec
import pytest

from undercroft.llm.types import ChatRequest, CompletionRequest, Dialect, Message, Sampling, Source
from undercroft.wire.longest import at_longest, ended
from undercroft.wire.openai import chat

HI = (Message(role="user", content="hi"),)


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        ("openai.chat", "max_completion_tokens"),
        ("openai.responses", "max_output_tokens"),
        ("anthropic.messages", "max_tokens"),
    ],
)
def test_an_end_is_set_in_the_callers_own_format(dialect: Dialect, name: str) -> None:
    source = Source(dialect, b'{"model":"m","unknown":{"a":[1.0]}}', headers=(("anthropic-beta", "x"),))
    longest = at_longest(ChatRequest(model="m", messages=HI, source=source), 50)
    assert longest.source is not None
    assert msgspec.json.decode(longest.source.body) == {"model": "m", "unknown": {"a": [1.0]}, name: 50}
    assert longest.source.headers == source.headers
    assert longest.sampling.max_tokens == 50


def test_a_completion_gets_its_end_in_its_own_format_too() -> None:
    source = Source("openai.completions", b'{"model":"m","prompt":"hi","unknown":1}')
    longest = at_longest(CompletionRequest(model="m", prompts=("hi",), source=source), 16)
    assert longest.source is not None
    assert msgspec.json.decode(longest.source.body) == {"model": "m", "prompt": "hi", "unknown": 1, "max_tokens": 16}
    assert longest.sampling.max_tokens == 16


def test_without_the_callers_bytes_what_is_written_for_a_provider_says_it() -> None:
    longest = at_longest(ChatRequest(model="m", messages=HI, sampling=Sampling(temperature=0.5)), 50)
    sent = msgspec.json.decode(chat.encode_request(longest, model="up", ask_usage=False))
    assert (sent["max_completion_tokens"], sent["temperature"]) == (50, 0.5)


def test_a_plain_question_gets_the_same_end_unread() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "}"}] } \n'
    source = Source("openai.chat", body)
    longest = at_longest(ChatRequest(model="m", messages=HI, source=source), 50)
    assert longest.source is not None
    assert msgspec.json.decode(ended(body, 50)) == msgspec.json.decode(longest.source.body)
