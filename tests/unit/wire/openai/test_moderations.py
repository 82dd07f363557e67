import json
from typing import Any, get_args

import msgspec
import pytest
from openai.types import ModerationCreateResponse

from undercroft.errors import InvalidRequest, UpstreamGarbled, UpstreamRefused
from undercroft.llm.types import Chunk, ModerationRequest, Part, Verdict
from undercroft.settings.model import ModerationCategory
from undercroft.wire.openai.moderations import (
    CATEGORIES,
    ModerationAnswer,
    decode,
    decode_whole,
    encode_request,
    whole,
)

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
SPOTLESS = Verdict(flagged=False, categories={}, scores={})


def asked(given: Any, **fields: Any) -> ModerationRequest:
    return decode(json.dumps({"input": given, **fields}).encode())


def answer(**result: Any) -> bytes:
    """A complete answer of one verdict, but for `result`."""
    verdict = {
        "flagged": False,
        "categories": dict.fromkeys(CATEGORIES, False),
        "category_scores": dict.fromkeys(CATEGORIES, 0.1),
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
    return json.dumps({"id": "modr-1", "model": "omni", "results": [{**verdict, **result}]}).encode()


def test_a_text_and_several_texts_are_an_input_each() -> None:
    assert asked("hi").inputs == ("hi",)
    assert asked(["a", ""]).inputs == ("a", "")
    assert (asked("hi").model, asked("hi", model="m").model, asked("hi").stream) == ("", "m", False)


def test_parts_are_one_input_together_and_unknown_ones_are_kept() -> None:
    (parts,) = asked([{"type": "text", "text": "look"}, IMAGE, {"type": "video_url", "video": 1}]).inputs
    assert isinstance(parts, tuple)
    text, image, other = parts
    assert text == Part(type="text", text="look")
    assert image == Part(type="image_url", data=IMAGE)
    assert other == Part(type="video_url", data={"type": "video_url", "video": 1})


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ([], "input", "empty_array"),
        (["x"] * 2049, "input", "array_above_max_length"),
        (["x", IMAGE], "input", "invalid_type"),
        (7, "input", "invalid_type"),
        ([7], "input[0]", "invalid_type"),
        ([{"text": "x"}], "input[0].type", "missing_required_parameter"),
        ([{"type": 3}], "input[0].type", "invalid_type"),
        ([{"type": "text"}], "input[0].text", "missing_required_parameter"),
        ([{"type": "text", "text": 1}], "input[0].text", "invalid_type"),
        ([{"type": "image_url"}], "input[0].image_url", "missing_required_parameter"),
        ([{"type": "image_url", "image_url": "x"}], "input[0].image_url", "invalid_type"),
        ([{"type": "image_url", "image_url": {}}], "input[0].image_url.url", "missing_required_parameter"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(given: Any, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked(given)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_an_input_is_required() -> None:
    with pytest.raises(InvalidRequest, match="Missing required parameter: 'input'"):
        decode(b"{}")


def test_the_providers_request_is_the_callers_own_under_another_name() -> None:
    sent = json.loads(encode_request(asked(["a"], model="m", unknown={"x": 1}), model="upstream"))
    assert sent == {"input": ["a"], "model": "upstream", "unknown": {"x": 1}}
    parts = (Part(type="text", text="look"), Part(type="image_url", data=IMAGE))
    anew = json.loads(encode_request(ModerationRequest(model="m", inputs=(parts,)), model="upstream"))
    assert anew == {"model": "upstream", "input": [{"type": "text", "text": "look"}, IMAGE]}
    assert json.loads(encode_request(ModerationRequest(model="m", inputs=("a", "b")), model="u"))["input"] == ["a", "b"]


def test_what_we_write_is_what_is_described_and_what_the_sdk_reads() -> None:
    verdict = Verdict(
        flagged=True,
        categories={"hate": True, "new-one": True},
        scores={"hate": 0.9, "new-one": 0.8},
        applied_to={"hate": ["text"]},
    )
    body = whole(Chunk(verdicts=(verdict, SPOTLESS)), id="modr-1", model="m")
    first, second = msgspec.json.decode(body, type=ModerationAnswer).results
    assert (first.categories.hate, first.category_scores.hate, first.category_applied_input_types.hate) == (
        True,
        0.9,
        ["text"],
    )
    assert (second.flagged, second.categories.illicit, second.category_scores.self_harm_intent) == (False, None, 0.0)
    read = ModerationCreateResponse.model_validate_json(body)
    assert read.results[0].categories.hate
    assert json.loads(body)["results"][0]["category_scores"]["new-one"] == 0.8
    assert all(
        set(part) >= set(CATEGORIES) for part in json.loads(body)["results"][1].values() if isinstance(part, dict)
    )


def test_a_complete_answer_is_passed_on_untouched() -> None:
    body = answer(flagged=True, unknown="kept")
    chunk = decode_whole(body)
    assert whole(chunk, id="other", model="other") is body
    assert (chunk.model, chunk.verdicts[0].flagged, chunk.verdicts[0].scores["hate"]) == ("omni", True, 0.1)


@pytest.mark.parametrize(
    "result",
    [
        {"category_applied_input_types": None},
        {"categories": {"hate": True}},
        {"category_scores": {**dict.fromkeys(CATEGORIES, 0.1), "illicit": None}},
    ],
)
def test_an_answer_of_an_older_model_is_filled_up(result: dict[str, Any]) -> None:
    chunk = decode_whole(answer(**result))
    assert chunk.source is None
    filled = msgspec.json.decode(whole(chunk, id="modr-1", model="omni"), type=ModerationAnswer)
    assert filled.results[0].categories.hate is ("hate" in result.get("categories", ()))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"results": []}', b'{"results": [{"flagged": 1}]}'])
def test_what_is_no_verdict_is_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        decode_whole(body)


def test_an_error_with_200_is_the_providers_error() -> None:
    with pytest.raises(UpstreamRefused, match="no such model"):
        decode_whole(b'{"error": {"message": "no such model", "type": "invalid_request_error"}}')


def test_settings_know_the_same_categories() -> None:
    assert get_args(ModerationCategory) == CATEGORIES
