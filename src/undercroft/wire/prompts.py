"""Stored prompts as requests name them, whatever format the rest of the request has."""

from typing import Any, Final

import msgspec

from undercroft.llm.types import PromptUse

USUAL: Final = "production"
"""The label that is meant where none is named."""


class PromptBody(msgspec.Struct, kw_only=True):
    """A stored prompt by name (or `id`, as OpenAI calls it), with a version or label and its variables. Without a name
    it is the one of the release that answers."""

    name: str | None = None
    id: str | None = None
    version: str | None = None
    label: str | None = None
    variables: dict[str, Any] | None = None


def prompt_use(asked: PromptBody | None) -> PromptUse | None:
    """What is to be filled, and with what."""
    if asked is None:
        return None
    version = asked.version or asked.label or USUAL
    return PromptUse(name=asked.name or asked.id or "", version=version, variables=asked.variables or {})
