"""What is asked of a model, and the pieces of its answer: the language every part speaks.

`wire` makes requests from bytes and bytes from chunks; providers make chunks from requests. A request keeps the bytes
it came in (`source`), so that a provider of the same dialect can pass them on with nothing lost.
"""

from typing import Any, Final, Literal

import msgspec

from undercroft.record import Usage

__all__ = [
    "ChatRequest",
    "Choice",
    "Chunk",
    "CompletionRequest",
    "Content",
    "EmbeddingsRequest",
    "Message",
    "ModerationRequest",
    "Part",
    "PromptUse",
    "Request",
    "ResponseFormat",
    "Source",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "Usage",
    "Verdict",
]

Dialect = Literal[
    "openai.chat",
    "openai.completions",
    "openai.embeddings",
    "openai.moderations",
    "openai.responses",
    "anthropic.messages",
]


class Source(msgspec.Struct, frozen=True):
    """The request as its caller wrote it."""

    dialect: Dialect
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """Those that say how the body is to be read (Anthropic's version and betas), for a provider of the same dialect."""


ToolType = Literal["function", "custom", "hosted"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a message's content: `text` for text and refusals; anything else rides in `data`.

    Images, audio and files have OpenAI's chat form, whatever dialect they came in: `{"type": "image_url", "image_url":
    {"url": "data:… or https://…"}}`, `input_audio`, `file`. `thinking` has its text in `text` and the model's proof of
    it in `data["signature"]`; `redacted_thinking` has `data["data"]`.
    """

    type: str
    text: str = ""
    data: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None
    """Anthropic's hint that the prompt up to here is worth keeping."""


Content = str | tuple[Part, ...] | None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call the model wants made. `arguments` is JSON text, as models write it (not always valid);
    a custom tool's is its free-form input."""

    id: str
    name: str
    arguments: str
    type: ToolType = "function"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: str
    content: Content = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    """A tool's result that tells of its failure."""

    def text(self) -> str:
        """The text alone, parts joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function the model may call; `parameters` is its JSON Schema. A custom tool takes free-form input instead.
    A hosted one is the provider's own (web search, file search): `format` is its whole declaration, in the dialect of
    the request's source."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False
    type: ToolType = "function"
    format: dict[str, Any] | None = None
    """A custom tool's grammar, as it came."""
    cache_control: dict[str, Any] | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """`auto`, `none`, `required`, or `function` with a name."""

    mode: Literal["auto", "none", "required", "function"] = "auto"
    name: str | None = None
    allowed: tuple[str, ...] = ()
    """Only these of the tools may be called; empty: all."""


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    """`text`, `json_object` (any JSON object) or `json_schema`."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool = False


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How to pick tokens; None leaves the choice to the model's own default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    n: int = 1


class PromptUse(msgspec.Struct, frozen=True, kw_only=True):
    """A stored prompt that a conversation is to begin with, and what fills it."""

    name: str = ""
    """Empty: the one of the release that answers."""
    version: str = "production"
    """A label, `latest` or the beginning of an address."""
    variables: dict[str, Any] = {}


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation to continue."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    stream: bool = False
    include_usage: bool = False
    """The caller asked for a usage chunk at the end of the stream."""
    logprobs: bool = False
    top_logprobs: int | None = None
    response_format: ResponseFormat = ResponseFormat()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    reasoning_tokens: int | None = None
    """At most so many for thinking; 0: do not think."""
    metadata: dict[str, Any] | None = None
    """The caller's own labels."""
    store: bool = False
    """The caller wants to come back to the answer."""
    legacy_functions: bool = False
    """Tools were declared as `functions`: the caller reads calls from `function_call`."""
    end_user: str = ""
    source: Source | None = None
    prompt: PromptUse | None = None


COMPLETION_TOKENS: Final = 16
"""What OpenAI's reference says a completion has at most that asks for no length. Other servers write on and on."""


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Text (or token ids) to continue, without a chat template. Several prompts give `n` choices each, in order."""

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    sampling: Sampling = Sampling()
    stream: bool = False
    include_usage: bool = False
    logprobs: int | None = None
    echo: bool = False
    suffix: str | None = None
    best_of: int | None = None
    """So many are written, and billed, for the `n` choices of each prompt."""
    end_user: str = ""
    source: Source | None = None


class EmbeddingsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts (or token ids) to turn into vectors."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    base64: bool = False
    """The caller wants each vector as base64 of little-endian float32."""
    end_user: str = ""
    source: Source | None = None

    @property
    def stream(self) -> bool:
        return False


class ModerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts and images to be judged: one verdict for each input."""

    model: str
    inputs: tuple[str | tuple[Part, ...], ...]
    end_user: str = ""
    source: Source | None = None

    @property
    def stream(self) -> bool:
        return False


Request = ChatRequest | CompletionRequest | EmbeddingsRequest | ModerationRequest


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a tool call: `id` and `name` come with the first piece, `arguments` in fragments."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    type: ToolType = "function"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a chunk adds to one of the answer's choices."""

    index: int = 0
    role: str | None = None
    text: str = ""
    reasoning: str = ""
    signature: str = ""
    """The model's proof of its reasoning, to be sent back with it."""
    refusal: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    """`stop`, `length`, `tool_calls`, `content_filter`: set on the choice's last chunk and only there."""
    stop_sequence: str | None = None
    """Which of the request's stop texts ended it, where the provider says so."""
    logprobs: Any = None
    """In the dialect's own shape."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a moderation model says of one input: per category whether it applies, and a score in [0, 1]."""

    flagged: bool
    categories: dict[str, bool]
    scores: dict[str, float]
    applied_to: dict[str, list[str]] = {}
    """Per category, which kinds of input (`text`, `image`) it was judged by."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer. A whole answer is one chunk whose choices carry everything.

    `source` is the piece as the upstream wrote it (the payload of one SSE event, or the whole JSON body), in `dialect`:
    a writer of the same dialect passes it on instead of writing it anew.
    """

    choices: tuple[Choice, ...] = ()
    vectors: tuple[memoryview, ...] = ()
    """Embeddings, each a memoryview of format 'f' (float32), in the order of the inputs."""
    usage: Usage | None = None
    model: str = ""
    """What the provider says it used; empty: not said in this piece."""
    verdicts: tuple[Verdict, ...] = ()
    """One for each input of a moderation."""
    source: bytes | None = None
    dialect: Dialect | None = None
    """Of `source`; None: the request's kind in OpenAI's format (chat, completions, embeddings, moderations)."""
    whole: bool = False
    """`source` is a whole answer's body, not one event of a stream."""

    def says_something(self) -> bool:
        """Whether a reader has got anything by it: a role, usage or a sign of life is nothing yet."""
        for choice in self.choices:
            if choice.text or choice.finish_reason or choice.tool_calls or choice.reasoning or choice.refusal:
                return True
        return bool(self.vectors or self.verdicts)

    def text(self) -> str:
        """The text of choice 0."""
        return "".join(choice.text for choice in self.choices if choice.index == 0)
