"""Providers' own words for the two refusals that decide where else a call may go."""

import pytest

from undercroft.wire.causes import CONTEXT, POLICY, known_cause

TOO_LONG = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9631 tokens.",
    "This endpoint's maximum context length is 4096 tokens. However, you requested about 5000 tokens.",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Prompt contains 65673 tokens, too large for model with 32768 maximum context length",
    "prompt is too long: 208310 tokens > 199999 maximum",
    "input length and `max_tokens` exceed context limit: 199386 + 21333 > 200000",
    "the request exceeds the available context size, try increasing it",
    "The input token count (1213456) exceeds the maximum number of tokens allowed (1048575).",
    "Input is too long for requested model.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5003",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "Please reduce the length of the messages or completion.",
]
FORBIDDEN = [
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "Output blocked by content filtering policy",
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
    "Content Exists Risk",
    "Your request was rejected as a result of our safety system.",
]
OTHER = [
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
    "Rate limit reached: please try again in 20s.",
    "Invalid value for 'content': expected a string, got null.",
    "The model `gpt-99` does not exist",
    "Your organization's policy does not allow this model.",
    "The context parameter is not supported",
    "",
]


@pytest.mark.parametrize("message", TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_by_its_providers_words(message: str) -> None:
    assert known_cause(code=None, kind="invalid_request_error", message=message) == CONTEXT


@pytest.mark.parametrize("message", FORBIDDEN)
def test_forbidden_content_is_known_by_its_providers_words(message: str) -> None:
    assert known_cause(code=None, kind=None, message=message) == POLICY


@pytest.mark.parametrize("message", OTHER)
def test_other_refusals_are_neither(message: str) -> None:
    assert known_cause(code="invalid_value", kind="invalid_request_error", message=message) is None


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("context_length_exceeded", None, CONTEXT),
        (None, "exceed_context_size_error", CONTEXT),
        ("content_filter", None, "content_filter"),
        ("content_policy_violation", None, POLICY),
        ("data_inspection_failed", None, POLICY),
    ],
)
def test_codes_are_known_too_and_azures_own_is_passed_on(code: str | None, kind: str | None, expected: str) -> None:
    assert known_cause(code=code, kind=kind, message="") == expected
