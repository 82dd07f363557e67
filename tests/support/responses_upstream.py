"""OpenAI's Responses as a provider speaks them, for the upstream on loopback: whole and streamed, with its own tools,
events nobody knows, and faults chosen by model name."""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.support.upstream import Request, Step

_NUMBERS = count(1)
WORDS = ["one", " two", " three"]
KNOWN: set[str] = set()
"""Responses that this provider keeps itself."""
Item = dict[str, Any]


def responses_answer(request: "Request") -> "Iterable[Step]":
    """Answers as the format says."""
    from tests.support.upstream import STREAM_HEAD, chunk, error_response, response

    asked = request.json
    previous = asked.get("previous_response_id")
    if previous is not None and previous not in KNOWN:
        return [error_response("400 Bad Request", f"Previous response with id '{previous}' not found.")]
    if asked.get("model") == "relayed-refuses":
        return [error_response("400 Bad Request", "the provider's own words", param="input")]
    body = whole_response(asked)
    KNOWN.add(body["id"])
    if not asked.get("stream"):
        return [response(msgspec.json.encode(_fault_in_whole(asked, body)))]
    steps: list[Step] = [STREAM_HEAD]
    for step in _faulty(asked["model"], list(events_of(body))):
        steps += [chunk(framed(step)) if isinstance(step, dict) else step, 0.001]
    return [*steps, chunk(b"")] if asked["model"] != "relayed-hangs" else steps


def framed(event: Item) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def whole_response(asked: Item) -> Item:
    """A whole answer to what was asked."""
    number = next(_NUMBERS)
    is_cut = (asked.get("max_output_tokens") or 99) < len(WORDS)
    return {
        "id": f"resp_of_the_provider_{number}",
        "object": "response",
        "created_at": 1,
        "status": "incomplete" if is_cut else "completed",
        "model": "provider-1",
        "output": _output(asked, number, is_cut=is_cut),
        "instructions": asked.get("instructions"),
        "previous_response_id": asked.get("previous_response_id"),
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "error": None,
        "tools": asked.get("tools", []),
        "tool_choice": asked.get("tool_choice", "auto"),
        "parallel_tool_calls": True,
        "metadata": asked.get("metadata") or {},
        "temperature": 1.0,
        "top_p": 1.0,
        "store": asked.get("store", True),
        "something_new": {"kept": True},
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 10,
        },
    }


def _output(asked: Item, number: int, *, is_cut: bool) -> list[Item]:
    items: list[Item] = []
    tools = asked.get("tools") or []
    if any(tool["type"] == "web_search" for tool in tools):
        action = {"type": "search", "query": "q"}
        items.append({"id": f"ws_{number}", "type": "web_search_call", "status": "completed", "action": action})
    functions = [tool for tool in tools if tool["type"] == "function"]
    if functions and asked.get("tool_choice") == "required":
        called = {"call_id": f"call_{number}", "name": functions[0]["name"], "arguments": '{"city": "Paris"}'}
        return [*items, {"id": f"fc_{number}", "type": "function_call", "status": "completed", **called}]
    text = '{"city": "Paris"}' if (asked.get("text") or {}).get("format", {}).get("type") == "json_schema" else None
    said = text or "".join(WORDS[: asked.get("max_output_tokens")] if is_cut else WORDS)
    part = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    status = "incomplete" if is_cut else "completed"
    return [
        *items,
        {"id": f"msg_{number}", "type": "message", "status": status, "role": "assistant", "content": [part]},
    ]


def events_of(body: Item) -> Iterator[Item]:
    """A response's events in order, some of them of a type that nobody knows."""
    number = count()

    def event(kind: str, **fields: Any) -> Item:
        return {"type": kind, "sequence_number": next(number), **fields}

    begun = {**body, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    yield event("response.steer.accepted", secret={"deep": [1, None]})
    for index, item in enumerate(body["output"]):
        where = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            yield event("response.output_item.added", output_index=index, item={**item, "arguments": ""})
            for piece in (item["arguments"][:5], item["arguments"][5:]):
                yield event("response.function_call_arguments.delta", **where, delta=piece)
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield event("response.function_call_arguments.done", **where, **done)
        elif item["type"] == "message":
            (part,) = item["content"]
            at = {**where, "content_index": 0}
            yield event("response.output_item.added", output_index=index, item={**item, "content": []})
            yield event("response.content_part.added", **at, part={**part, "text": ""})
            for piece in part["text"].replace(" ", "| ").split("|"):
                yield event("response.output_text.delta", **at, delta=piece, logprobs=[], obfuscation="xyz")
            yield event("response.output_text.done", **at, text=part["text"], logprobs=[])
            yield event("response.content_part.done", **at, part=part)
        else:
            yield event("response.output_item.added", output_index=index, item=item)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{body['status']}", response=body)


FAILURE = {"code": "server_error", "message": "the model fell over"}


def _fault_in_whole(asked: Item, body: Item) -> Item:
    return {**body, "status": "failed", "error": FAILURE} if asked["model"] == "relayed-fails" else body


def _faulty(model: str, events: list[Item]) -> "list[Item | Step]":
    """The events of a model whose name says that it breaks."""
    from tests.support.upstream import Do

    begun: list[Item | Step] = [*events[:6]]
    number = len(begun)
    failed = {**events[-1]["response"], "status": "failed", "error": FAILURE}
    faults: dict[str, list[Item | Step]] = {
        "relayed-fails": [*begun, {"type": "response.failed", "sequence_number": number, "response": failed}],
        "relayed-error": [*begun, {"type": "error", "sequence_number": number, **FAILURE, "param": None}],
        "relayed-cut": begun,
        "relayed-reset": [*begun, 0.01, Do.RESET],
        "relayed-hangs": [*begun, Do.HANG],
    }
    return faults.get(model, [*events])


FAULTY = ("relayed-fails", "relayed-error", "relayed-cut", "relayed-reset", "relayed-hangs", "relayed-refuses")
