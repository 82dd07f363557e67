"""Plain requests, against the reader of all requests: what is taken for one means and becomes the same there."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.llm.tokens import estimate_conversation, estimate_input, estimate_texts
from undercroft.llm.unsupported import Unsupported
from undercroft.settings.presets import Quirks
from undercroft.wire import anthropic
from undercroft.wire.anthropic import plain
from undercroft.wire.duplicates import demand_unambiguous
from undercroft.wire.openai import chat
from undercroft.wire.openai.quirks import Adaptation

texts = st.text(max_size=9)
blocks = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(("text", "text", "text", "image"))},
        optional={"text": texts, "cache_control": st.just({"type": "ephemeral"})},
    ),
    max_size=2,
)
plain_blocks = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), min_size=1, max_size=3)
turns = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(("user", "assistant", "user", "assistant", "system", "wizard")),
            "content": st.one_of(texts, plain_blocks, blocks, st.none()),
        },
        optional={"name": st.just("n")},
    ),
    max_size=3,
)
plain_turns = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(("user", "assistant")), "content": st.one_of(texts, plain_blocks)},
    ),
    min_size=1,
    max_size=4,
)
shares = st.floats(0, 1)
PLAIN = st.fixed_dictionaries(
    {"model": st.text(min_size=1, max_size=4), "messages": plain_turns, "max_tokens": st.integers(1, 2**31 - 1)},
    optional={
        "system": st.one_of(texts, plain_blocks),
        "stream": st.sampled_from((False,)),
        "temperature": st.one_of(shares, st.sampled_from((0, 1))),
        "top_p": shares,
    },
)
ANY = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(("m", "", None, 3)),
        "messages": st.one_of(plain_turns, turns),
        "max_tokens": st.sampled_from((1, 9, 0, None, 2**31, "1")),
        "system": st.one_of(texts, blocks, st.none()),
        "stream": st.sampled_from((False, True, None)),
        "temperature": st.sampled_from((0, 0.5, 1, 1.1, None, "1")),
        "top_p": st.sampled_from((0, 1, 1.1)),
        "top_k": st.just(5),
        "metadata": st.just({"user_id": "u"}),
        "made_up": st.just({"a": 1}),
    },
)


def demand_same(body: bytes, asked: plain.PlainBody) -> None:
    demand_unambiguous(body)
    request = anthropic.decode(body)
    assert (request.model, request.stream, request.prompt, request.end_user) == (asked.model, False, None, "")
    assert (request.sampling.max_tokens, request.metadata, request.store) == (asked.longest, None, False)
    messages, characters = asked.size()
    read = estimate_texts(characters, messages)
    assert messages == len(request.messages)
    assert read == estimate_input(request) == estimate_conversation(request)
    adaptation = Adaptation(Quirks(), Unsupported("p/m", drop=False))
    written = chat.encode_request(request, model="m-1", ask_usage=True, adaptation=adaptation)
    assert plain.for_openai(asked, model="m-1") == written
    assert not adaptation.dropped


@given(PLAIN, st.integers(0, 2))
def test_what_most_callers_send_is_plain_and_becomes_what_the_stages_would_send(
    fields: dict[str, Any], indent: int
) -> None:
    body = msgspec.json.format(msgspec.json.encode(fields), indent=indent)
    asked = plain.decode(body)
    assert asked is not None
    demand_same(body, asked)


@given(ANY)
def test_a_plain_request_is_a_request_with_the_same_meaning(fields: dict[str, Any]) -> None:
    body = msgspec.json.encode(fields)
    asked = plain.decode(body)
    if asked is not None:
        demand_same(body, asked)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"model":"n"}',
        b'{"model":"m","max_tokens":9,"max_tokens":8,"messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi","content":"a:b"}]}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}',
        b'{"model":"m","max_tokens":9,"system":"a","system":"b","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stream":true}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"top_k":5}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[]}]}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","text":"a"}]}]}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","max_tokens":9,"messages":[]}',
        b"[]",
        b"",
    ],
)
def test_everything_else_is_not(body: bytes) -> None:
    assert plain.decode(body) is None
