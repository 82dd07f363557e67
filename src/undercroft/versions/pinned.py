"""What a release makes of a request: everything it pins, resolved, and put on in one step."""

from typing import Any

import msgspec
from msgspec.structs import replace

from undercroft.errors import InvalidRequest
from undercroft.llm.types import ChatRequest, CompletionRequest, Message, Request, ResponseFormat, Sampling, Tool
from undercroft.versions.content import GuardrailContent, ModelContent, Parameters, PromptContent, RetrievalContent
from undercroft.versions.template import fill
from undercroft.wire.restated import restated


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """The contents that answer for an alias together. None of them is looked up again while a call runs, so no call
    can mix two releases."""

    id: str
    """What the answer is booked under: a release's id, or `name@digest` of a version that was asked for by itself."""
    alias: str
    model: ModelContent | None = None
    prompt: PromptContent | None = None
    retrieval: RetrievalContent | None = None
    guardrail: GuardrailContent | None = None

    @property
    def target(self) -> str:
        """The configured model that answers."""
        return self.model.target if self.model is not None else self.alias

    @property
    def rewrites(self) -> bool:
        """Whether requests are written anew for it: what a provider's own format has beyond ours would be lost."""
        has_parameters = self.model is not None and self.model.parameters != Parameters()
        return has_parameters or self.prompt is not None or self.retrieval is not None


def put_on(pinned: Pinned, request: Request) -> Request:
    """The request as this release asks it. Raises InvalidRequest where the prompt's variables are not right.

    With a prompt it is written anew for the provider: fields of the caller's that we do not know stay behind.
    """
    request = replace(request, model=pinned.target)
    if pinned.model is not None and pinned.model.parameters != Parameters():
        request = _asked_with(pinned.model.parameters, request)
    prompt = pinned.prompt
    if isinstance(request, CompletionRequest) and (prompt is not None or pinned.retrieval is not None):
        raise InvalidRequest(
            f"The release of '{pinned.alias}' begins conversations, and this is plain text to be continued.",
            code="unsupported_operation",
            param="model",
            hint="Ask it through /v1/chat/completions.",
        )
    if isinstance(request, ChatRequest):
        if prompt is not None:
            return prompted(prompt, request, request.prompt.variables if request.prompt else {})
        if request.prompt is not None:
            raise InvalidRequest(f"'{pinned.alias}' has no prompt that could be filled.", param="prompt")
    return request


def prompted(prompt: PromptContent, request: ChatRequest, values: dict[str, Any]) -> ChatRequest:
    """The prompt's messages before the caller's, its tools beside theirs, its schema unless they have one."""
    messages = tuple([Message(role=role, content=text) for role, text in fill(prompt, values)])
    tools = tuple(
        [
            Tool(name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict)
            for tool in prompt.tools
        ]
    )
    shape = request.response_format
    if prompt.response_schema is not None and shape == ResponseFormat():
        shape = ResponseFormat(type="json_schema", name="answer", schema=prompt.response_schema, strict=True)
    return replace(
        request,
        messages=messages + request.messages,
        tools=tools + request.tools,
        response_format=shape,
        prompt=None,
        source=None,
    )


def _asked_with(parameters: Parameters, request: Request) -> Request:
    """The release's parameters go before the caller's: what was tested is what runs."""
    if not isinstance(request, ChatRequest | CompletionRequest):
        return request
    given = {
        name: value
        for name in Sampling.__struct_fields__
        if (value := getattr(parameters, name, None)) not in (None, ())
    }
    request = replace(request, sampling=replace(request.sampling, **given))
    if parameters.reasoning_effort is not None and isinstance(request, ChatRequest):
        request = replace(request, reasoning_effort=parameters.reasoning_effort)
        given["reasoning_effort"] = parameters.reasoning_effort
    return replace(request, source=restated(request.source, given))
