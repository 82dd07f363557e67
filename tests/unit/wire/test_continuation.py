"""A caller's own request with the beginning of the answer behind it."""

import msgspec
import pytest

from undercroft.llm.types import Dialect, Source
from undercroft.wire.continuation import continued


@pytest.mark.parametrize("dialect", ["openai.chat", "anthropic.messages"])
def test_everything_the_caller_wrote_survives_and_the_text_comes_last(dialect: Dialect) -> None:
    body = b'{"messages": [{"role": "user", "content": "a", "x": [1]}], "unknown": {"y": null}, "max_tokens": 100}'
    made = continued(Source(dialect, body), text="One \xfc", spent_tokens=30)
    assert made is not None
    assert msgspec.json.decode(made.body) == {
        "messages": [{"role": "user", "content": "a", "x": [1]}, {"role": "assistant", "content": "One \xfc"}],
        "unknown": {"y": None},
        "max_tokens": 70,
    }


def test_a_limit_never_falls_below_one_token() -> None:
    made = continued(Source("openai.chat", b'{"messages":[],"max_completion_tokens":5}'), text="x", spent_tokens=9)
    assert made is not None
    assert msgspec.json.decode(made.body)["max_completion_tokens"] == 1


def test_a_dialect_without_such_messages_has_no_source_to_pass_on() -> None:
    assert continued(Source("openai.responses", b'{"input":"a"}'), text="x", spent_tokens=1) is None
