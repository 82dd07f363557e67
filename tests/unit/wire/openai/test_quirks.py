"""A request fits the service it goes to, and nothing is lost without a word."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, EmbeddingsRequest, Message, Sampling, Source
from undercroft.llm.unsupported import Unsupported
from undercroft.settings.presets import PRESETS, Quirks
from undercroft.wire.openai import chat, embeddings
from undercroft.wire.openai.quirks import Adaptation

MISTRAL, DEEPSEEK, GROQ = (PRESETS[name].quirks for name in ("mistral", "deepseek", "groq"))


def adapted(fields: dict[str, Any], quirks: Quirks, *, drop: bool = False) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The caller's bytes for a service with these quirks, and what they lost."""
    body = msgspec.json.encode({"model": "public", "messages": [{"role": "user", "content": "hi"}], **fields})
    fit = Adaptation(quirks, Unsupported("s/m", drop=drop))
    request = chat.decode(body)
    decoded = msgspec.json.decode(
        chat.encode_request(request, model="m", ask_usage=quirks.stream_options, adaptation=fit)
    )
    assert isinstance(decoded, dict)
    return decoded, fit.dropped


def test_fields_take_the_services_names() -> None:
    body, _ = adapted({"max_completion_tokens": 5, "seed": 7}, MISTRAL)
    assert (body["max_tokens"], body["random_seed"]) == (5, 7)
    assert not {"max_completion_tokens", "seed"} & body.keys()


def test_a_field_that_has_the_services_name_already_stays() -> None:
    assert adapted({"max_tokens": 5}, MISTRAL)[0]["max_tokens"] == 5


def test_stream_options_are_kept_from_those_who_do_not_know_them() -> None:
    fields = {"stream": True, "stream_options": {"include_usage": True}}
    assert "stream_options" not in adapted(fields, GROQ)[0]
    assert adapted(fields, DEEPSEEK)[0]["stream_options"] == {"include_usage": True}


def test_developers_are_systems_where_the_role_is_not_known() -> None:
    messages = [{"role": "developer", "content": "Be brief.", "kept": 1}, {"role": "user", "content": "a developer"}]
    assert adapted({"messages": messages}, DEEPSEEK)[0]["messages"] == [
        {"role": "system", "content": "Be brief.", "kept": 1},
        {"role": "user", "content": "a developer"},
    ]
    assert adapted({"messages": messages}, GROQ)[0]["messages"] == messages


def test_labels_are_left_out_without_a_word() -> None:
    body, dropped = adapted({"user": "u", "store": False, "safety_identifier": "s"}, MISTRAL)
    assert not {"user", "store", "safety_identifier"} & body.keys()
    assert dropped == ()


@pytest.mark.parametrize("fields", [{"n": 2}, {"logprobs": True}, {"logit_bias": {"1": 5}}])
def test_what_the_service_cannot_do_is_refused_by_name_or_dropped_and_told(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(InvalidRequest) as refused:
        adapted(fields, GROQ)
    assert (refused.value.param, refused.value.code) == (name, "unsupported_parameter")
    body, dropped = adapted(fields, GROQ, drop=True)
    assert name not in body
    assert dropped == (name,)


@pytest.mark.parametrize("fields", [{"n": 1}, {"n": None}, {"logprobs": False}, {"logit_bias": {}}])
def test_a_field_that_asks_for_nothing_is_no_reason_to_refuse(fields: dict[str, Any]) -> None:
    body, dropped = adapted(fields, GROQ)
    assert not fields.keys() & body.keys()
    assert dropped == ()


def test_a_schema_is_not_promised_where_there_are_none() -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object"}}}
    with pytest.raises(InvalidRequest, match="json_object"):
        adapted({"response_format": shape}, DEEPSEEK)
    body, dropped = adapted({"response_format": shape}, DEEPSEEK, drop=True)
    assert "response_format" not in body
    assert dropped == ("response_format",)
    assert adapted({"response_format": {"type": "json_object"}}, DEEPSEEK)[0]["response_format"] == {
        "type": "json_object"
    }


def test_top_k_of_other_formats_goes_to_those_who_have_it() -> None:
    request = ChatRequest(
        model="p",
        messages=(Message(role="user", content="hi"),),
        sampling=Sampling(top_k=40),
        source=Source("anthropic.messages", b"{}"),
    )

    def encoded(name: str, *, drop: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
        fit = Adaptation(PRESETS[name].quirks, Unsupported("s", drop=drop))
        return msgspec.json.decode(chat.encode_request(request, model="m", ask_usage=True, adaptation=fit)), fit.dropped

    assert encoded("vllm", drop=False)[0]["top_k"] == 40
    for drop in (False, True):  # a hint: told, never refused
        body, dropped = encoded("openai", drop=drop)
        assert "top_k" not in body
        assert dropped == ("top_k",)


def test_an_extension_in_the_callers_own_bytes_passes() -> None:
    assert adapted({"top_k": 40}, GROQ)[0]["top_k"] == 40


def test_embeddings_have_quirks_too() -> None:
    body = b'{"model":"p","input":"a","dimensions":8,"user":"u","encoding_format":"float"}'
    fit = Adaptation(MISTRAL, Unsupported("s", drop=False))
    request: EmbeddingsRequest = embeddings.decode(body)
    assert msgspec.json.decode(embeddings.encode_request(request, model="m", adaptation=fit)) == {
        "model": "m",
        "input": "a",
        "output_dimension": 8,
        "encoding_format": "float",
    }


unknown = st.dictionaries(
    st.text(min_size=1).map(lambda name: f"x_{name}"),
    st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(), lambda inner: st.lists(inner, max_size=3)),
    max_size=4,
)


@given(unknown, st.sampled_from(sorted(PRESETS)))
def test_fields_nobody_knows_survive_to_every_service(fields: dict[str, Any], name: str) -> None:
    body, dropped = adapted(fields, PRESETS[name].quirks)
    assert fields.items() <= body.items()
    assert dropped == ()
