"""`[[models]]` and who answers for them: deployments and prices, `[reliability]`, `[egress]`, `[local]`."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr

from undercroft.settings.presets import PRESETS
from undercroft.settings.section import Count, Name, Positive, Seconds, Section, Text, Usd

PROVIDERS: Final = (*PRESETS, "anthropic", "azure", "gemini", "local", "local_embedding", "scripted", "rules")
"""What `provider` of a deployment may say; `assembly` passes a longer list where more are installed."""

LOCAL_MODELS: Final = ("local", "local-embedding", "local-moderation")
"""The bundled models and rules: names that are always there and that no `[[models]]` may take."""

Capability = Literal[
    "chat",
    "completions",
    "embeddings",
    "moderations",
    "tools",
    "images",
    "audio",
    "files",
    "json_schema",
    "logprobs",
    "reasoning",
]


class Price(Section):
    """USD per million tokens, as decimal strings."""

    input: Usd
    """Prompt tokens."""
    output: Usd = "0"
    """Completion tokens."""
    cache_read: Usd | None = None
    """Prompt tokens read from the provider's cache; default: as `input`."""
    cache_write: Usd | None = None
    """Prompt tokens written to the provider's cache; default: as `input`."""
    reasoning: Usd | None = None
    """Completion tokens spent on reasoning; default: as `output`."""
    audio_input: Usd | None = None
    """Prompt tokens that were audio; default: as `input`."""
    audio_output: Usd | None = None
    """Completion tokens that are audio; default: as `output`."""
    cache_write_long: Usd | None = None
    """Prompt tokens written to the provider's cache for an hour (Anthropic); default: twice `input` where `cache_write`
    is more than that, else as `cache_write`."""


class Deployment(Section):
    """One place that can answer for a model."""

    provider: str
    """openai, anthropic, azure, gemini, one of the named services (groq, mistral, ollama …), openai_compatible, local,
    local_embedding, scripted or rules."""
    model: str | None = None
    """The provider's name for the model; default: the public name."""
    api_key: SecretStr | None = None
    """`env:NAME`, `file:PATH`, `secret:NAME`, or the text itself; default: the provider's usual variable."""
    base_url: str | None = None
    """Address up to and including the version, e.g. `https://api.example.com/v1`; for azure the resource's endpoint."""
    headers: dict[str, SecretStr] = {}
    """Sent along with every call, e.g. `{ "HTTP-Referer" = "https://example.com", "x-tenant-token" = "env:TOKEN" }`."""
    api_version: str | None = None
    """Provider `azure` only: asks in the form with the deployment in the path; default: the form under `/openai/v1`."""
    responses_api: bool | None = None
    """Whether it has `/responses` itself; default: OpenAI and Azure. Others are asked for chats instead."""
    weight: Positive = 1
    """Share of the calls among the model's deployments, for the strategies that go by it."""
    price: Price | None = None
    """Overrides the price book."""
    batch_price: Price | None = None
    """What lines of a batch cost here; default: what other calls do, for providers are asked them as any other call."""
    priority: Count = 0
    """Lower goes first; the next one answers only when nothing of a better one can take the call."""
    region: Name | None = None
    """Where it is: callers choose it with the header `x-undercroft-region`."""
    tags: tuple[Name, ...] = ()
    """What callers may ask for with the header `x-undercroft-tags`."""
    context_tokens: Positive | None = None
    """What prompt and answer may have together; a call that seems larger goes to another deployment."""
    capabilities: tuple[Capability, ...] | None = None
    """Kinds of call (chat, completions, embeddings, moderations) and what they may hold; default: everything."""
    max_concurrency: Positive | None = None
    """Calls it is given at once; further ones go to another deployment, or wait."""
    max_waiting: Count = 64
    """Calls that may wait for one of its `max_concurrency` places; further ones get 503."""
    max_wait_s: Seconds = 30.0
    """How long they wait."""
    health_check_s: Seconds | None = None
    """How often it is asked for its list of models, which costs nothing; default: never."""
    script: str | None = None
    """Provider `scripted` only: what it answers."""


Names = Annotated[tuple[Text, ...], Field(max_length=3)]
Tries = Annotated[int, Field(ge=1, le=4)]
OnCut = Literal["error", "continue"]


class Reliability(Section):
    """How calls are kept alive when a provider fails: for all models, unless one says otherwise."""

    tries: Tries = 3
    """Attempts at one model; a call has four in all, and each fallback keeps one of them."""
    connect_timeout_s: Seconds | None = None
    """Longest time for a connection to stand; default: as in `[egress]`."""
    first_token_timeout_s: Seconds | None = None
    """Streams: longest wait for the first word; default: 10 where another deployment or a fallback can answer, else
    as `first_byte_timeout_s` of `[egress]`."""
    whole_answer_timeout_s: Seconds | None = None
    """Answers that are not streamed: longest wait for them; default: as `first_byte_timeout_s` of `[egress]`."""
    between_chunks_timeout_s: Seconds | None = None
    """Streams: longest wait for the next piece; default: as `idle_timeout_s` of `[egress]`."""
    total_timeout_s: Seconds | None = None
    """Longest time for a call, tries and fallbacks included; default: as `request_timeout_s` of `[server]`."""
    on_cut: OnCut = "error"
    """When a stream breaks off in the middle: `error` tells the client; `continue` has the rest written by the same or
    another deployment, for plain text and providers that go on with an assistant's message."""
    coalesce: bool = False
    """Let identical calls of one key that are not streamed share one upstream call while it is under way."""


class Breaker(Section):
    """When a deployment is not asked at all any more, and how it comes back: one call at a time tries it."""

    failures: Count = 10
    """So many failed calls of the last `calls` stop it; 0: never."""
    calls: Annotated[int, Field(ge=1, le=1000)] = 20
    """How many calls are looked back at, of the last minute with a failure."""
    rest_s: Seconds = 10.0
    """How long it is left alone before the next call tries it."""


class Model(Section):
    """A public model name and what stands behind it."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What callers ask for."""
    strategy: Literal["round_robin", "weighted", "least_busy", "fastest", "cheapest", "prompt_size"] = "round_robin"
    """How a deployment is chosen; weighted and least_busy go by weight, prompt_size takes the smallest that fits."""
    sticky: Literal["none", "user", "conversation"] = "none"
    """What stays with one deployment, so that its provider's prompt cache is hit, as long as that can take the call."""
    breaker: Breaker = Breaker.model_construct()
    drop_unsupported: bool = False
    """Leave out what a deployment cannot do, and say so in `x-undercroft-dropped`, instead of refusing the call."""
    fallbacks: Names = ()
    """Other models that answer, in this order, when this one cannot; at most three."""
    fallbacks_on_context: Names = ()
    """Models that answer when the prompt is too long for this one."""
    fallbacks_on_policy: Names = ()
    """Models that answer when this one's content policy refuses a call; without them the refusal is the answer."""
    tries: Tries | None = None
    """As in `[reliability]`, for this model, as are the next seven."""
    connect_timeout_s: Seconds | None = None
    """Longest time for a connection to stand."""
    first_token_timeout_s: Seconds | None = None
    """Streams: longest wait for the first word."""
    whole_answer_timeout_s: Seconds | None = None
    """Answers that are not streamed: longest wait for them."""
    between_chunks_timeout_s: Seconds | None = None
    """Streams: longest wait for the next piece."""
    total_timeout_s: Seconds | None = None
    """Longest time for a call, tries and fallbacks included."""
    on_cut: OnCut | None = None
    """What happens when a stream breaks off in the middle."""
    coalesce: bool | None = None
    """Whether identical calls share one upstream call."""
    cache: bool | None = None
    """Whether its answers are kept and given again; default: as `mode` of `[cache]`."""
    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1)]
    """The places that can answer, at least one."""


class Egress(Section):
    """Connections to model providers."""

    allow: tuple[str, ...] = ()
    """Networks (CIDR) that URLs given through the API may reach besides public ones."""
    max_connections: Positive = 512
    """Open connections to one provider address; further calls wait."""
    max_waiting: Positive = 4096
    """Calls that may wait for a connection to one address; further ones get 503."""
    connect_timeout_s: Seconds = 3.0
    """Longest time for a connection to stand, TLS included."""
    first_byte_timeout_s: Seconds = 60.0
    """Longest silence before the answer's head."""
    idle_timeout_s: Seconds = 15.0
    """Longest silence inside an answer."""
    keep_alive_s: Seconds = 30.0
    """How long an idle connection is kept; shorter than providers keep theirs."""
    ca_file: Path | None = None
    """Certificates to trust besides the system's."""


class Local(Section):
    """The bundled models."""

    models_dir: Path | None = None
    """Where weights are looked for first. (UNDERCROFT_MODELS_DIR)"""
    chat_gguf: Path | None = None
    """A GGUF file of your own to serve as `local`."""
    slots: Positive = 4
    """Chat answers generated at once; others wait."""
    queue: Positive = 64
    """Calls that may wait for a slot; further ones get 503."""
    context_tokens: Positive = 8192
    """Context of all slots together: each has context_tokens / slots."""
    threads: Positive | None = None
    """CPU threads; default: the machine's cores, at most 8 (2 for writing with models under 300 MB)."""
    load_timeout_s: Seconds = 30.0
    """How long a call waits for a model that is still loading."""
