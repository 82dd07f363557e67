"""Parameters are set in a caller's own bytes, and all else in them stays."""

from typing import Any

import msgspec
import pytest

from undercroft.llm.types import Dialect, Source
from undercroft.wire.restated import restated


@pytest.mark.parametrize(
    ("dialect", "given", "said"),
    [
        ("openai.chat", {"temperature": 0.5, "stop": ("a",)}, {"temperature": 0.5, "stop": ["a"]}),
        (
            "openai.chat",
            {"max_tokens": 5, "reasoning_effort": "low"},
            {"max_completion_tokens": 5, "reasoning_effort": "low"},
        ),
        ("openai.completions", {"max_tokens": 5, "seed": 1}, {"max_tokens": 5, "seed": 1}),
        ("openai.responses", {"max_tokens": 5, "top_p": 0.1}, {"max_output_tokens": 5, "top_p": 0.1}),
        ("anthropic.messages", {"stop": ("a", "b"), "max_tokens": 5}, {"stop_sequences": ["a", "b"], "max_tokens": 5}),
    ],
)
def test_each_format_says_it_in_its_own_words(dialect: Dialect, given: dict[str, Any], said: dict[str, Any]) -> None:
    source = Source(dialect, b'{"model":"m","temperature":1,"unknown":[1.0,"\\u00e4"]}', headers=(("a", "b"),))
    found = restated(source, given)
    assert found is not None
    assert msgspec.json.decode(found.body) == {"model": "m", "temperature": 1, "unknown": [1.0, "ä"]} | said
    assert b'[1.0,"\\u00e4"]' in found.body
    assert found.headers == source.headers


def test_an_older_name_of_the_same_does_not_stay_beside_it() -> None:
    found = restated(Source("openai.chat", b'{"max_tokens":7,"max_completion_tokens":8}'), {"max_tokens": 5})
    assert found is not None
    assert msgspec.json.decode(found.body) == {"max_completion_tokens": 5}


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        ("openai.responses", "seed"),
        ("openai.completions", "reasoning_effort"),
        ("anthropic.messages", "presence_penalty"),
        ("openai.embeddings", "max_tokens"),
    ],
)
def test_what_a_format_has_no_word_for_is_not_said_in_it(dialect: Dialect, name: str) -> None:
    assert restated(Source(dialect, b"{}"), {name: 1, "temperature": 1}) is None


def test_a_temperature_that_anthropic_does_not_have_is_not_said_to_it() -> None:
    assert restated(Source("anthropic.messages", b"{}"), {"temperature": 1.5}) is None
    assert restated(Source("anthropic.messages", b"{}"), {"temperature": 1.0}) is not None


def test_nothing_comes_of_nothing() -> None:
    assert restated(None, {"temperature": 1}) is None
