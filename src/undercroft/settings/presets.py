"""Services that speak OpenAI's format: where each listens, where its key usually stands, and where it differs.

A row here is all that a service needs: the names in `provider`, the rules, the reference and the default models
follow from it. What a service's own documentation or client does not say is left as OpenAI has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where a service differs from OpenAI. The names are those of a request's fields."""

    renames: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """OpenAI's name of a field -> the service's."""
    lacks: frozenset[str] = frozenset()
    """Fields it cannot obey: refused, or left out and told, as the operator chose for the model."""
    labels: frozenset[str] = frozenset()
    """Fields it refuses and that change nothing of an answer: left out without a word."""
    extras: frozenset[str] = frozenset()
    """Fields it has beyond OpenAI's, which callers of other formats may ask for."""
    stream_options: bool = True
    """Takes `stream_options`; those that do not tell their usage anyway."""
    developer: bool = True
    """Knows the role `developer`; where not, such messages are sent as `system`."""
    json_schema: bool = True
    """Takes `response_format` of type `json_schema`."""

    @property
    def are_none(self) -> bool:
        """Nothing of a request in OpenAI's format has to change."""
        plain = self.stream_options and self.developer and self.json_schema
        return plain and not (self.renames or self.lacks or self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A service by name."""

    title: str
    base_url: str | None
    """None: it has no address that is the same for everyone."""
    key_variable: str | None = None
    """The environment variable its own documentation uses."""
    chat_model: str | None = None
    """Answers requests that name no model, when this service's key is the first that is set."""
    embedding_model: str | None = None
    quirks: Quirks = Quirks()


_TOP_K: Final = frozenset({"top_k"})
_SHORT_LIMIT: Final = {"max_completion_tokens": "max_tokens"}
"""The token limit is known by its older name only."""
_OPENAI_LABELS: Final = frozenset({"user", "safety_identifier", "store", "prompt_cache_key", "service_tier"})

PRESETS: Final[Mapping[str, Preset]] = {
    "openai": Preset(
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        chat_model="gpt-5-mini",
        embedding_model="text-embedding-3-small",
    ),
    "groq": Preset(
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        chat_model="llama-3.3-70b-versatile",
        quirks=Quirks(
            lacks=frozenset({"logprobs", "top_logprobs", "logit_bias", "n"}),
            stream_options=False,
        ),
    ),
    "mistral": Preset(
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        chat_model="mistral-small-latest",
        embedding_model="mistral-embed",
        quirks=Quirks(
            renames={**_SHORT_LIMIT, "seed": "random_seed", "dimensions": "output_dimension"},
            lacks=frozenset({"logit_bias"}),
            labels=_OPENAI_LABELS,  # any field it does not know is refused (422)
            extras=_TOP_K,
            stream_options=False,
            developer=False,
        ),
    ),
    "deepseek": Preset(
        title="DeepSeek",
        base_url="https://api.deepseek.com",
        key_variable="DEEPSEEK_API_KEY",
        chat_model="deepseek-chat",
        quirks=Quirks(renames=_SHORT_LIMIT, developer=False, json_schema=False),
    ),
    "xai": Preset(title="xAI", base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY", chat_model="grok-4-fast"),
    "openrouter": Preset(
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        chat_model="openrouter/auto",
        quirks=Quirks(extras=_TOP_K),
    ),
    "together": Preset(
        title="Together AI",
        base_url="https://api.together.ai/v1",
        key_variable="TOGETHER_API_KEY",
        chat_model="meta-llama/Llama-3.3-70B-Instruct-Turbo",
        quirks=Quirks(renames=_SHORT_LIMIT, extras=_TOP_K),
    ),
    "fireworks": Preset(
        title="Fireworks AI",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        chat_model="accounts/fireworks/models/gpt-oss-120b",
        quirks=Quirks(renames=_SHORT_LIMIT, extras=_TOP_K),
    ),
    "cerebras": Preset(
        title="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_variable="CEREBRAS_API_KEY",
        chat_model="gpt-oss-120b",
        quirks=Quirks(
            lacks=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "parallel_tool_calls"}),
            labels=frozenset({"service_tier"}),
        ),
    ),
    "perplexity": Preset(
        title="Perplexity",
        base_url="https://api.perplexity.ai",
        key_variable="PERPLEXITY_API_KEY",
        chat_model="sonar",
        quirks=Quirks(renames=_SHORT_LIMIT),
    ),
    "sambanova": Preset(title="SambaNova", base_url="https://api.sambanova.ai/v1", key_variable="SAMBANOVA_API_KEY"),
    "nvidia": Preset(title="NVIDIA NIM", base_url="https://integrate.api.nvidia.com/v1", key_variable="NVIDIA_API_KEY"),
    "deepinfra": Preset(
        title="DeepInfra", base_url="https://api.deepinfra.com/v1/openai", key_variable="DEEPINFRA_API_KEY"
    ),
    "moonshotai": Preset(title="Moonshot AI", base_url="https://api.moonshot.ai/v1", key_variable="MOONSHOT_API_KEY"),
    "zai": Preset(title="Z.AI", base_url="https://api.z.ai/api/paas/v4", key_variable="ZAI_API_KEY"),
    "ollama": Preset(
        title="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        quirks=Quirks(renames=_SHORT_LIMIT, lacks=frozenset({"n", "logit_bias"})),
    ),
    "lmstudio": Preset(
        title="LM Studio", base_url="http://127.0.0.1:1234/v1", quirks=Quirks(renames=_SHORT_LIMIT, extras=_TOP_K)
    ),
    "llamacpp": Preset(
        title="llama.cpp's server",
        base_url="http://127.0.0.1:8080/v1",
        quirks=Quirks(renames=_SHORT_LIMIT, extras=_TOP_K),
    ),
    # Its usual port is 8000, as is undercroft's own: an address taken for granted would be a call to itself.
    "vllm": Preset(title="vLLM", base_url=None, quirks=Quirks(extras=_TOP_K)),
    "openai_compatible": Preset(title="any other server", base_url=None, quirks=Quirks(extras=_TOP_K)),
}
