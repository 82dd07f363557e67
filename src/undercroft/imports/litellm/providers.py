"""Which provider a model's name means, and where it listens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from undercroft.settings.presets import PRESETS

_BY_PREFIX: Final[Mapping[str, str]] = {
    "openai": "openai", "text-completion-openai": "openai", "azure": "azure", "azure_text": "azure",
    "anthropic": "anthropic", "gemini": "gemini", "groq": "groq", "mistral": "mistral", "deepseek": "deepseek",
    "xai": "xai", "openrouter": "openrouter", "together_ai": "together", "fireworks_ai": "fireworks",
    "cerebras": "cerebras", "perplexity": "perplexity", "sambanova": "sambanova", "nvidia_nim": "nvidia",
    "deepinfra": "deepinfra", "moonshot": "moonshotai", "zai": "zai", "ollama": "ollama", "ollama_chat": "ollama",
    "lm_studio": "lmstudio", "hosted_vllm": "vllm", "vllm": "vllm", "litellm_proxy": "openai_compatible",
    "openai_like": "openai_compatible", "custom_openai": "openai_compatible", "llamafile": "openai_compatible",
}  # fmt: skip
_BY_BEGINNING: Final = (
    ("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
    ("text-embedding-", "openai"), ("omni-moderation", "openai"), ("claude-", "anthropic"), ("gemini-", "gemini"),
)  # fmt: skip
"""Names that LiteLLM knows without a prefix."""


@dataclass(frozen=True, slots=True)
class Place:
    """Who answers."""

    provider: str
    model: str
    base_url: str | None


def place_of(model: str, base_url: str | None) -> Place | str:
    """Who answers for a name such as `azure/my-deployment`; a reason where nobody here does."""
    prefix, slash, name = model.partition("/")
    provider = _BY_PREFIX.get(prefix) if slash else None
    if provider is None:
        provider = next((known for beginning, known in _BY_BEGINNING if model.startswith(beginning)), None)
        name = model
    if provider is None and base_url is not None and not slash:
        provider, name = "openai_compatible", model
    if provider is None:
        what = f"the provider '{prefix}'" if slash else f"the name '{model}'"
        return f"{what} is not known here; a server that speaks OpenAI's format can be had as openai_compatible"
    if base_url is None:
        preset = PRESETS.get(provider)
        if provider == "azure" or (preset is not None and preset.base_url is None):
            return f"the provider '{provider}' needs api_base"
        return Place(provider, name, None)
    address = base_url.rstrip("/")
    if provider == "ollama" and not address.endswith("/v1"):
        address += "/v1"
    if provider == "openai":
        return (
            Place("openai", name, None) if "//api.openai.com" in address else Place("openai_compatible", name, address)
        )
    return Place(provider, name, address)
