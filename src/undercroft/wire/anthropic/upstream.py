"""Writes requests for a provider: the caller's own bytes where it speaks the format, or anew."""

import re
from typing import Any, Final, NamedTuple

import msgspec

from undercroft.llm.types import ChatRequest
from undercroft.llm.unsupported import Unsupported
from undercroft.wire.anthropic.tools import write_choice, write_tools
from undercroft.wire.anthropic.writing import write_messages
from undercroft.wire.untranslated import note_untranslated

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

DEFAULT_MAX_TOKENS: Final = 8192
"""Anthropic wants a limit; this is the least that any model still served can write."""
ANSWER_TOOL: Final = "json_answer"
"""The tool that a model is made to call where it has no other way to keep to a schema."""
_LEAST_BUDGET: Final = 1024

_GENERATION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_NEWEST: Final = (99, 0)
_WITH_SCHEMAS, _WITH_EFFORT, _WITH_THINKING = (4, 5), (4, 6), (3, 7)

_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
"""For models that take a budget and no effort."""


class Written(NamedTuple):
    """A request for a provider."""

    body: bytes
    answer_tool: str = ""
    """The call of this tool is the answer."""


def encode_request(request: ChatRequest, *, model: str, lost: Unsupported) -> Written:
    """What the provider cannot do goes to `lost`. A stage that changes a request must drop its `source`."""
    if (passed := _passed_on(request, model)) is not None:
        return Written(passed)
    note_untranslated(request, lost)
    _note_what_it_lacks(request, lost)
    fields = _conversation(request, model, lost)
    sampling = request.sampling
    fields["max_tokens"] = DEFAULT_MAX_TOKENS if sampling.max_tokens is None else sampling.max_tokens
    if request.stream:
        fields["stream"] = True
    for name, value in (("temperature", sampling.temperature), ("top_p", sampling.top_p), ("top_k", sampling.top_k)):
        if value is not None:
            fields[name] = value
    if fields.get("temperature", 0) > 1:
        lost.note("temperature", why="It takes 0 to 1.")
        del fields["temperature"]
    if stops := _stops(sampling.stop, lost):
        fields["stop_sequences"] = stops
    if request.end_user:
        fields["metadata"] = {"user_id": request.end_user}
    answer_tool = _shape(request, fields, model)
    _think(request, fields, model, lost)
    return Written(_encode(fields), answer_tool)


def encode_count(request: ChatRequest, *, model: str) -> bytes:
    """The same conversation to be counted; what the provider cannot do is not part of it."""
    if (passed := _passed_on(request, model)) is not None:
        return passed
    return _encode(_conversation(request, model, Unsupported(model, drop=True)))


def _passed_on(request: ChatRequest, model: str) -> bytes | None:
    if request.source is None or request.source.dialect != "anthropic.messages":
        return None
    fields: dict[str, Any] = _fields.decode(request.source.body)
    fields["model"] = model
    return _encode(fields)


def _conversation(request: ChatRequest, model: str, lost: Unsupported) -> dict[str, Any]:
    system, messages = write_messages(request.messages, lost)
    fields: dict[str, Any] = {"model": model, "messages": messages}
    if system is not None:
        fields["system"] = system
    if tools := write_tools(request, lost):
        fields["tools"] = tools
        if (choice := write_choice(request)) is not None:
            fields["tool_choice"] = choice
    return fields


def _note_what_it_lacks(request: ChatRequest, lost: Unsupported) -> None:
    sampling = request.sampling
    for name, is_asked in (
        ("n", sampling.n != 1),
        ("logprobs", request.logprobs),
        ("logit_bias", bool(sampling.logit_bias)),
        ("seed", sampling.seed is not None),
        ("frequency_penalty", bool(sampling.frequency_penalty)),
        ("presence_penalty", bool(sampling.presence_penalty)),
    ):
        if is_asked:
            lost.note(name)


def _stops(stops: tuple[str, ...], lost: Unsupported) -> list[str]:
    usable = [stop for stop in stops if stop.strip()]
    if len(usable) < len(stops):
        lost.note("stop", why="It takes none of white space alone.")
    return usable


def _shape(request: ChatRequest, fields: dict[str, Any], model: str) -> str:
    """Holds the answer to its format; the name of the tool that stands for the answer where there is no other way."""
    shape = request.response_format
    if shape.type == "text":
        return ""
    if shape.type == "json_schema" and shape.schema is not None and generation(model) >= _WITH_SCHEMAS:
        fields.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": closed(shape.schema)}
        return ""
    tools = fields.setdefault("tools", [])
    name = ANSWER_TOOL
    while any(tool["name"] == name for tool in tools):
        name += "_"
    tools.append(
        {
            "name": name,
            "description": shape.description or "Gives the answer. Call this with the whole answer as its input.",
            "input_schema": {"type": "object", **(shape.schema or {})},
        }
    )
    if len(tools) == 1:
        fields["tool_choice"] = {"type": "tool", "name": name}
    elif fields.get("tool_choice", {}).get("type") in (None, "auto", "none"):
        fields["tool_choice"] = {"type": "any"}
    return name


def closed(schema: Any) -> Any:
    """Anthropic takes only schemas whose objects say that they have no further properties."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    if inner.get("type") == "object":
        inner.setdefault("additionalProperties", False)
    return inner


def _think(request: ChatRequest, fields: dict[str, Any], model: str, lost: Unsupported) -> None:
    """Thinking as the model's generation takes it. It cannot be had together with a tool that must be called."""
    effort, budget = request.reasoning_effort, request.reasoning_tokens
    if effort is None and budget is None:
        return
    model_generation = generation(model)
    if effort == "none" or budget == 0:
        if model_generation >= _WITH_THINKING:
            fields["thinking"] = {"type": "disabled"}
        return
    if model_generation < _WITH_THINKING:
        lost.note("reasoning_effort")
        return
    is_forced = fields.get("tool_choice", {}).get("type") in ("any", "tool")
    if effort is not None and model_generation >= _WITH_EFFORT:
        fields.setdefault("output_config", {})["effort"] = _EFFORTS.get(effort, effort)
        if budget is None:
            if not is_forced:
                fields["thinking"] = {"type": "adaptive"}
            return
    room = fields["max_tokens"] - 1
    wanted = min(budget if budget is not None else _BUDGETS.get(effort or "", _BUDGETS["medium"]), room)
    if is_forced or wanted < _LEAST_BUDGET:
        lost.leave_out("reasoning_effort")
        return
    fields["thinking"] = {"type": "enabled", "budget_tokens": wanted}


def generation(model: str) -> tuple[int, int]:
    """`claude-opus-4-6` -> (4, 6), `claude-3-7-sonnet-20250219` -> (3, 7); any other name is taken for a new one."""
    found = _GENERATION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST
