"""Anthropic on loopback, made from its public documentation: as strict as the original, and it misbehaves on request.

What it does is chosen by model name, as in `upstream.py`, whose steps and faults it shares.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tests.support.upstream import STREAM_HEAD, Answer, Do, Request, Step, Upstream, chunk, response

Block = dict[str, Any]

_FIELDS = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "output_config", "metadata",
    "stop_sequences", "stream", "temperature", "top_p", "top_k", "cache_control", "container", "service_tier", "speed",
    "inference_geo", "diagnostics", "context_management",
}  # fmt: skip
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
WEATHER = {"city": "Paris"}
PERSON = {"name": "Ada", "age": 36}
SIGNATURE = "EqQBCgIYAhIM-signed"
REDACTED = "EmwKAhgBEgy-redacted"


class AnthropicUpstream(Upstream):
    """The listening provider."""

    def steps(self, request: Request) -> Iterable[Step]:
        for key in (request.model, request.path):
            if key in self.answers:
                return self.answers[key](request)
        if (problem := _problem(request)) is not None:
            return [problem]
        if request.model in ANSWERS:
            return ANSWERS[request.model](request)
        if request.path.endswith("/count_tokens"):
            return [response(msgspec.json.encode({"input_tokens": 4 + len(str(request.json["messages"])) // 4}))]
        return well_behaved(request)


# --- the wire ---------------------------------------------------------------------------------------------------------


def error_response(status: str, kind: str, message: str, *, fields: str = "") -> bytes:
    return response(msgspec.json.encode(error(kind, message)), status=status, fields=fields)


def error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_upstream"}


def sent(payload: Block) -> bytes:
    """An event as a chunk of its own."""
    return chunk(b"event: %b\ndata: %b\n\n" % (payload["type"].encode(), msgspec.json.encode(payload)))


def begun(**usage: int | dict[str, int]) -> Block:
    told = {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
    message: Block = {
        "id": "msg_up", "type": "message", "role": "assistant", "model": "claude-fake-1", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {**told, **usage},
    }  # fmt: skip
    return {"type": "message_start", "message": message}


def opened(index: int, block: Block) -> Block:
    return {"type": "content_block_start", "index": index, "content_block": block}


def added(index: int, kind: str, **said: object) -> Block:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **said}}


def closed(index: int) -> Block:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str, output: int, *, stop_sequence: str | None = None, **more: object) -> Block:
    delta = {"stop_reason": reason, "stop_sequence": stop_sequence, **more}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}}


PING: Block = {"type": "ping"}
STOP: Block = {"type": "message_stop"}
TEXT: Block = {"type": "text", "text": ""}


# --- what is wrong with a request -------------------------------------------------------------------------------------


def _problem(request: Request) -> bytes | None:
    if "x-api-key" not in request.headers and "authorization" not in request.headers:
        return error_response("401 Unauthorized", "authentication_error", "x-api-key header is required")
    if "anthropic-version" not in request.headers:
        return _invalid("anthropic-version: header is required")
    said = _mistake(request.json, is_count=request.path.endswith("/count_tokens"))
    return None if said is None else _invalid(said)


def _invalid(message: str) -> bytes:
    return error_response("400 Bad Request", "invalid_request_error", message)


def _mistake(fields: dict[str, Any], *, is_count: bool) -> str | None:
    wanted = ("model", "messages") if is_count else ("model", "messages", "max_tokens")
    for name in wanted:
        if name not in fields:
            return f"{name}: Field required"
    for name in fields:
        if name not in _FIELDS and not name.startswith("x_"):
            return f"{name}: Extra inputs are not permitted"
    if not fields["messages"]:
        return "messages: at least one message is required"
    if not 0 <= fields.get("temperature", 0) <= 1:
        return "temperature: range: 0..1"
    if any(not stop.strip() for stop in fields.get("stop_sequences", ())):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    return (
        _mistaken_turns(fields["messages"])
        or _mistaken_tools(fields)
        or _mistaken_thinking(fields)
        or _mistaken_schema((fields.get("output_config") or {}).get("format", {}).get("schema"))
    )


def _mistaken_turns(turns: list[dict[str, Any]]) -> str | None:
    called: set[str] = set()
    for place, turn in enumerate(turns):
        if turn["role"] not in ("user", "assistant"):
            return f"messages.{place}.role: unexpected role"
        blocks = [{"type": "text", "text": turn["content"]}] if isinstance(turn["content"], str) else turn["content"]
        if not blocks or any(block["type"] == "text" and not block["text"] for block in blocks):
            return "messages: text content blocks must be non-empty"
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results - called:
            return f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks"
        if called - results:
            return f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after"
        called = {block["id"] for block in blocks if block["type"] == "tool_use"}
        for block in blocks:
            if block["type"] == "tool_use" and not (isinstance(block["input"], dict) and _NAME.fullmatch(block["id"])):
                return f"messages.{place}: tool_use.input or id: Input should be a valid dictionary"
            if block["type"] == "thinking" and not block.get("signature"):
                return f"messages.{place}.thinking.signature: Field required"
    return None


def _mistaken_tools(fields: dict[str, Any]) -> str | None:
    names = set()
    for tool in fields.get("tools", ()):
        if tool.get("type") in (None, "custom"):
            if not _NAME.fullmatch(tool["name"]):
                return "tools.0.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"
            if tool["input_schema"].get("type") != "object":
                return "tools.0.custom.input_schema.type: Field required"
        names.add(tool["name"])
    choice = fields.get("tool_choice")
    if choice is None:
        return None
    if not names:
        return "tool_choice: may only be specified while providing tools"
    if choice["type"] not in ("auto", "any", "tool", "none"):
        return "tool_choice.type: unexpected value"
    return "tool_choice: no such tool" if choice["type"] == "tool" and choice["name"] not in names else None


def _mistaken_thinking(fields: dict[str, Any]) -> str | None:
    thinking = fields.get("thinking") or {}
    if thinking.get("type") not in ("enabled", "adaptive"):
        return None
    if (fields.get("tool_choice") or {}).get("type") in ("any", "tool"):
        return "Thinking may not be enabled when tool_choice forces tool use."
    budget = thinking.get("budget_tokens", 1024)
    if budget < 1024:
        return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    return None if budget < fields["max_tokens"] else "`max_tokens` must be greater than `thinking.budget_tokens`."


def _mistaken_schema(schema: Any) -> str | None:
    if not isinstance(schema, dict):
        return None
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
    inner = [*schema.get("properties", {}).values(), schema.get("items"), *schema.get("anyOf", ())]
    return next((said for each in inner if (said := _mistaken_schema(each))), None)


# --- answers ----------------------------------------------------------------------------------------------------------


def well_behaved(request: Request) -> Iterable[Step]:
    """Answers as the format says: thinking, text, tools, limits, stops, caches and usage."""
    fields = request.json
    blocks, reason, stop = _answer(fields)
    written = sum(len(str(block.get("text", ""))) // 4 + 3 for block in blocks)
    limit = fields["max_tokens"]
    written = min(written, limit) if reason == "max_tokens" else written
    cached = {"cache_creation_input_tokens": 3, "cache_read_input_tokens": 5} if "cache_control" in str(fields) else {}
    if fields.get("stream"):
        return _stream(blocks, reason, stop, written, cached)
    message = begun(**cached)["message"]
    message |= {"content": blocks, "stop_reason": reason, "stop_sequence": stop}
    message["usage"]["output_tokens"] = written
    return [0.001 * written, response(msgspec.json.encode(message))]


def _answer(fields: dict[str, Any]) -> tuple[list[Block], str, str | None]:
    blocks: list[Block] = []
    if (fields.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        blocks.append({"type": "thinking", "thinking": "Let me count.", "signature": SIGNATURE})
    choice = fields.get("tool_choice") or {}
    if choice.get("type") in ("any", "tool"):
        tool = next((each for each in fields["tools"] if each["name"] == choice.get("name")), fields["tools"][0])
        given = WEATHER if "city" in tool["input_schema"].get("properties", {}) else PERSON
        return [*blocks, {"type": "tool_use", "id": "toolu_1", "name": tool["name"], "input": given}], "tool_use", None
    if (fields.get("output_config") or {}).get("format"):
        return [*blocks, {"type": "text", "text": msgspec.json.encode(PERSON).decode()}], "end_turn", None
    count = 400 if "long" in str(fields["messages"]) else 10
    words = [_WORDS[0], *(f" {_WORDS[place % 10]}" for place in range(1, count))]
    reason, stop = "end_turn", None
    if fields["max_tokens"] < count:
        words, reason = words[: fields["max_tokens"]], "max_tokens"
    text = "".join(words)
    for each in fields.get("stop_sequences", ()):
        before, found, _ = text.partition(each)
        if found:
            text, reason, stop = before, "stop_sequence", each
    return [*blocks, {"type": "text", "text": text}], reason, stop


def _stream(blocks: list[Block], reason: str, stop: str | None, written: int, cached: dict[str, int]) -> Iterator[Step]:
    yield STREAM_HEAD
    yield sent(begun(**cached))
    yield sent(PING)
    for index, block in enumerate(blocks):
        if block["type"] == "thinking":
            yield sent(opened(index, {"type": "thinking", "thinking": "", "signature": ""}))
            yield sent(added(index, "thinking_delta", thinking=block["thinking"]))
            yield sent(added(index, "signature_delta", signature=block["signature"]))
        elif block["type"] == "tool_use":
            yield sent(opened(index, {**block, "input": {}}))
            yield sent(added(index, "input_json_delta", partial_json=""))
            written_out = msgspec.json.encode(block["input"]).decode()
            for start in range(0, len(written_out), 7):
                yield sent(added(index, "input_json_delta", partial_json=written_out[start : start + 7]))
        else:
            yield sent(opened(index, TEXT))
            for word in re.findall(r"\s*\S+", block["text"]):
                yield sent(added(index, "text_delta", text=word))
                yield 0.001
        yield sent(closed(index))
    yield sent(ended(reason, written, stop_sequence=stop))
    yield sent(STOP)
    yield chunk(b"")


# --- what it does besides, and what can go wrong ----------------------------------------------------------------------

_BEGUN: list[Step] = [
    STREAM_HEAD, sent(begun()), sent(PING), sent(opened(0, TEXT)), sent(added(0, "text_delta", text="one")), 0.01,
    sent(added(0, "text_delta", text=" two")),
]  # fmt: skip
_FINISHED: list[Step] = [*_BEGUN, sent(closed(0)), sent(ended("end_turn", 2))]
_OVERLOADED = error("overloaded_error", "Overloaded")


def _then(*steps: Step) -> Answer:
    return lambda request: steps


def _either(events: list[Block]) -> Answer:
    """The events as a stream, or what they add up to as a whole answer."""

    def answer(request: Request) -> Iterable[Step]:
        if request.json.get("stream"):
            return [STREAM_HEAD, *(sent(each) for each in events), chunk(b"")]
        return [response(msgspec.json.encode(_added_up(events)))]

    return answer


def _added_up(events: list[Block]) -> Block:
    message: Block = dict(events[0]["message"])
    blocks = [dict(each["content_block"]) for each in events if each["type"] == "content_block_start"]
    for each in events:
        if each["type"] == "content_block_delta":
            for name, value in each["delta"].items():
                if name in ("text", "thinking", "signature"):
                    blocks[each["index"]][name] += value
                elif name == "citation":
                    blocks[each["index"]]["citations"] = [value]
        elif each["type"] == "message_delta":
            message |= {**each["delta"], "usage": {**message["usage"], **each["usage"]}}
    return message | {"content": blocks}


CITATION = {
    "type": "char_location", "cited_text": "grass is green", "document_index": 0, "document_title": "Facts",
    "start_char_index": 0, "end_char_index": 14, "file_id": None,
}  # fmt: skip

RICH: list[Block] = [
    begun(), opened(0, {"type": "redacted_thinking", "data": REDACTED}), closed(0),
    opened(1, {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "grass"}}),
    closed(1),
    opened(2, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}), closed(2),
    opened(3, {"type": "text", "text": "", "citations": []}), added(3, "text_delta", text="Grass is green"),
    added(3, "citations_delta", citation=CITATION), closed(3),
    ended("end_turn", 9), STOP,
]  # fmt: skip
"""What only this format can say."""

REFUSAL: list[Block] = [
    begun(), opened(0, TEXT), added(0, "text_delta", text="I"), closed(0),
    ended("refusal", 1, stop_details={"type": "refusal", "category": "cyber", "explanation": "No."}), STOP,
]  # fmt: skip

TWO_CALLS: list[Block] = [
    begun(), opened(0, {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}),
    added(0, "input_json_delta", partial_json='{"city":"Paris"}'), closed(0),
    opened(1, {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}}), closed(1),
    ended("tool_use", 12), STOP,
]  # fmt: skip

ANSWERS: dict[str, Answer] = {
    "rich": _either(RICH),
    "refusal": _either(REFUSAL),
    "window": _either([begun(), opened(0, TEXT), added(0, "text_delta", text="x"), closed(0),
                       ended("model_context_window_exceeded", 1), STOP]),
    "paused": _either([begun(), opened(0, TEXT), added(0, "text_delta", text="x"), closed(0),
                       ended("pause_turn", 1), STOP]),
    "overloaded": _then(error_response("529 Overloaded", "overloaded_error", "Overloaded")),
    "busy": _then(error_response(
        "429 Too Many Requests", "rate_limit_error", "This request would exceed your rate limit.",
        fields="retry-after: 0.02\r\nanthropic-ratelimit-requests-remaining: 0\r\n")),
    "too-long": _then(_invalid("prompt is too long: 208310 tokens > 200000 maximum")),
    "no-room": _then(_invalid("input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000")),
    "no-credit": _then(_invalid("Your credit balance is too low to access the Anthropic API.")),
    "too-large": _then(error_response("413 Payload Too Large", "request_too_large", "Request exceeds the limit")),
    "unknown": _then(error_response("404 Not Found", "not_found_error", "model: unknown")),
    "bad-key": _then(error_response("401 Unauthorized", "authentication_error", "invalid x-api-key")),
    "broken": _then(error_response("500 Internal Server Error", "api_error", "Internal server error")),
    "web-page": _then(response("<html>Welcome</html>", content_type="text/html")),
    "silent": _then(Do.HANG),
    "reset-before-head": _then(Do.RESET),
    "reset-mid-stream": _then(*_BEGUN, 0.01, Do.RESET),
    "close-mid-stream": _then(*_BEGUN, Do.CLOSE),
    "stall-mid-stream": _then(*_BEGUN, Do.HANG),
    "cut-stream": _then(*_BEGUN, chunk(b"")),
    "no-stop": _then(*_FINISHED, chunk(b"")),
    "stop-too-early": _then(*_BEGUN, sent(STOP), chunk(b"")),
    "error-event": _then(*_BEGUN, sent(_OVERLOADED), chunk(b"")),
    "error-after-end": _then(*_FINISHED, sent(_OVERLOADED), chunk(b"")),
    "error-first": _then(STREAM_HEAD, sent(_OVERLOADED), chunk(b"")),
    "error-after-start": _then(STREAM_HEAD, sent(begun()), sent(PING), sent(_OVERLOADED), chunk(b"")),
    "never-closes": _then(*_FINISHED, sent(STOP), Do.HANG),
}  # fmt: skip
