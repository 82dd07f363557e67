"""What a provider refuses a request for, however it words it: two causes decide where else a call may go.

Providers agree on neither status nor code, so their words are read, here and nowhere else. Each pattern is in use by
the provider named beside it.
"""

import re
from typing import Final

CONTEXT: Final = "context_length_exceeded"
"""Prompt and answer do not fit into the model's context."""
POLICY: Final = "content_policy_violation"
"""The provider's content policy forbids the prompt or the answer."""

_CODES: Final = {
    CONTEXT: CONTEXT,
    "exceed_context_size_error": CONTEXT,  # llama.cpp
    "context_window_exceeded": CONTEXT,
    POLICY: POLICY,
    "content_filter": "content_filter",  # Azure: its own code is passed on
    "content_policy": POLICY,
    "content_filtered": POLICY,
    "moderation_blocked": POLICY,  # OpenAI, images
    "data_inspection_failed": POLICY,  # Alibaba
    "responsibleaipolicyviolation": POLICY,  # Azure, in innererror
}

_CONTEXT_WORDS: Final = re.compile(
    r"""(?ix)
    maximum\ (?:context|prompt)\ length       # OpenAI, vLLM, OpenRouter, DeepSeek, xAI, Mistral
    | prompt\ is\ too\ long                   # Anthropic, Together
    | exceed(?:s|ed)?\ (?:the\ )?(?:model'?s?\ )?      # Anthropic, llama.cpp
      (?:maximum\ |available\ )?context\ (?:limit|length|size|window)
    | input\ token\ count .{0,40} exceeds\ the\ maximum   # Gemini
    | input\ is\ too\ long                    # Bedrock
    | too\ many\ (?:total\ )?(?:input\ )?tokens:?\ .{0,60}(?:cannot\ exceed|limit)   # Cohere
    | tokens\ \+\ `?max_new_tokens`?\ must\ be # TGI, Together
    | greater\ than\ the\ context\ length     # LM Studio
    | reduce\ the\ length\ of\ the\ (?:messages|prompt)  # Groq
    """
)
_POLICY_WORDS: Final = re.compile(
    r"""(?ix)
    content\ management\ policy               # Azure
    | blocked\ by\ (?:our\ |the\ )?content\ filter # Anthropic
    | violat\w+\ (?:our\ |of\ our\ |the\ )?(?:usage|content)\ polic # OpenAI
    | content\ exists\ risk                   # DeepSeek
    | rejected\ (?:as\ a\ result\ of|by)\ (?:our|the)\ safety\ system # OpenAI, images
    | prohibited_content | blocklist          # Gemini
    """
)


def known_cause(*, code: str | None, kind: str | None, message: str) -> str | None:
    """The code that stands for the cause of a refusal (4xx), or None for any other cause."""
    for name in (code, kind):
        if name is not None and (known := _CODES.get(name.lower())):
            return known
    if _CONTEXT_WORDS.search(message):
        return CONTEXT
    if _POLICY_WORDS.search(message):
        return POLICY
    return None
