"""What can be versioned: models, prompts, retrieval and guardrails, each as a frozen value with one address.

A version's address is the SHA-256 of its kind and its content in canonical JSON (keys sorted, defaults left out, so a
field that is added later changes no address). Two people who write the same prompt have the same version.
"""

import hashlib
import re
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from undercroft.errors import InvalidRequest

Kind = Literal["model", "prompt", "retrieval", "guardrail"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

SHORT: Final = 12
"""Hex digits of an address that people see."""
LEAST_PREFIX: Final = 6
LATEST: Final = "latest"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_HEX: Final = re.compile(r"[0-9a-f]{6,64}")

Rate = Annotated[float, Meta(ge=0, le=1)]
Whole = Annotated[int, Meta(ge=1)]
Named = Annotated[str, Meta(min_length=1, max_length=100)]
VariableType = Literal["string", "integer", "number", "boolean", "array", "object"]


class _Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value that has an address."""


class Parameters(_Content, frozen=True, kw_only=True):
    """How a model is to be asked; what is left out stays as the caller or the model has it."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Rate | None = None
    max_tokens: Whole | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    reasoning_effort: str | None = None


class ModelContent(_Content, frozen=True, kw_only=True):
    """Which configured model answers, and how it is asked."""

    target: Named
    """A name of `[[models]]`, with whatever deployments stand behind it."""
    parameters: Parameters = Parameters()


class Variable(_Content, frozen=True, kw_only=True):
    """A place in a prompt that its caller fills."""

    type: VariableType = "string"
    required: bool = True
    default: Any = None
    """Used where it is not required and not given."""
    choices: tuple[Any, ...] = ()
    """The only values that are taken; empty: any of the type."""
    description: str = ""


class PromptMessage(_Content, frozen=True, kw_only=True):
    """A message whose text may hold `{{variable}}`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class PromptTool(_Content, frozen=True, kw_only=True):
    """A function that the model may call."""

    name: Named
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False


class PromptContent(_Content, frozen=True, kw_only=True):
    """Messages to begin with, what fills them, and what the answer is to look like."""

    messages: Annotated[tuple[PromptMessage, ...], Meta(min_length=1)]
    variables: dict[str, Variable] = {}
    tools: tuple[PromptTool, ...] = ()
    response_schema: dict[str, Any] | None = None
    """JSON Schema of the answer."""


PASSAGES: Final = "{{passages}}"
"""Where what was found stands in a retrieval's template."""
TEMPLATE: Final = (
    f"These passages were found:\n\n{PASSAGES}\n\nAnswer from these passages. If they do not say it, say so."
)


class RetrievalContent(_Content, frozen=True, kw_only=True):
    """What is looked up before a model is asked, and how it is told of it."""

    collection: Named
    """A vector store (`vs_…`), or a collection of the operator's."""
    top_k: Annotated[int, Meta(ge=1, le=100)] = 5
    embedding_model: str | None = None
    """What the question is embedded with; None: a vector store's own, else `[vectors] embedding_model`, else the
    bundled one."""
    mode: Literal["vector", "words", "hybrid"] = "vector"
    filter: dict[str, Any] | None = None
    """As vector searches take it."""
    least_score: float | None = None
    template: str = TEMPLATE
    """What the model is told, with `{{passages}}` where they go."""
    role: Literal["user", "system"] = "user"
    """Whether that stands before the question, in the same message, or is a message of its own to the system."""


class GuardSpec(_Content, frozen=True, kw_only=True):
    """A guard with its settings, as a rule of `[[guards.rules]]` has them."""

    check: Named
    """`pii`, `injection`, `terms`, `size`, `schema`, or the name of an installed guard."""
    action: Literal["block", "mask", "flag"] = "block"
    name: str = ""
    """What errors, headers and logs call it; empty: as the check."""
    kinds: tuple[str, ...] = ()
    """Check `pii` only: what counts; empty: all."""
    terms: tuple[str, ...] = ()
    """Check `terms` only."""
    max_characters: Whole | None = None
    """Check `size` only."""
    json_schema: dict[str, Any] | None = None
    """Check `schema` only."""


class GuardrailContent(_Content, frozen=True, kw_only=True):
    """Which guards look at what goes in and at what comes out, in this order."""

    input: tuple[GuardSpec, ...] = ()
    output: tuple[GuardSpec, ...] = ()


Content = ModelContent | PromptContent | RetrievalContent | GuardrailContent

CONTENTS: Final[dict[Kind, type[Content]]] = {
    "model": ModelContent,
    "prompt": PromptContent,
    "retrieval": RetrievalContent,
    "guardrail": GuardrailContent,
}


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A content under a name, never changed once it is there."""

    organisation: str
    kind: Kind
    name: str
    digest: str
    content: Content
    note: str = ""
    author: str = ""
    created_us: int = 0
    labels: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        return self.digest[:SHORT]

    @property
    def reference(self) -> str:
        """`name@digest`, as a release pins it."""
        return f"{self.name}@{self.digest}"


def canonical(content: Content) -> bytes:
    """The bytes that the address is made of."""
    return msgspec.json.encode(content, order="sorted")


def digest_of(kind: Kind, content: Content) -> str:
    """SHA-256 in 64 hex digits."""
    return hashlib.sha256(kind.encode() + b"\n" + canonical(content)).hexdigest()


def check_name(name: str) -> str:
    """Raises InvalidRequest for what cannot be asked for as `name@label`."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name[:100]!r} is no name: letters, digits and . _ : / - are taken, at most 100.", param="name"
        )
    return name


def check_label(label: str) -> str:
    """Raises InvalidRequest for what is no label, or could be taken for an address."""
    if not _LABEL.fullmatch(label) or label == LATEST or _HEX.fullmatch(label) or label.startswith("rel_"):
        raise InvalidRequest(
            f"{label[:100]!r} is no label: it begins with a small letter, holds letters, digits, _ and -, is not "
            "'latest' and does not look like an address.",
            param="label",
        )
    return label


def is_address(text: str) -> bool:
    """Whether it can be the beginning of a version's digest."""
    return bool(_HEX.fullmatch(text))
