"""What was asked in a call and what was answered, and how both are written down."""

from typing import Any

import msgspec

from undercroft.llm.types import Chunk, Request


class Answer:
    """An answer that grows: the texts of its choices, put together from their pieces."""

    def __init__(self) -> None:
        self._choices: dict[int, dict[str, Any]] = {}
        self._vectors = 0
        self._verdicts: list[Any] = []

    def take(self, chunk: Chunk) -> None:
        """One more piece, or all of it."""
        self._vectors += len(chunk.vectors)
        self._verdicts += [{"flagged": one.flagged, "categories": one.categories} for one in chunk.verdicts]
        for choice in chunk.choices:
            kept = self._choices.setdefault(choice.index, {"index": choice.index, "text": ""})
            for name in ("text", "reasoning", "refusal"):
                if piece := getattr(choice, name):
                    kept[name] = kept.get(name, "") + piece
            for call in choice.tool_calls:
                calls: dict[int, dict[str, str]] = kept.setdefault("tool_calls", {})
                known = calls.setdefault(call.index, {"name": "", "arguments": ""})
                known["name"] += call.name or ""
                known["arguments"] += call.arguments
            if choice.finish_reason:
                kept["finish_reason"] = choice.finish_reason

    def written(self) -> dict[str, Any]:
        """As JSON has it: of vectors only how many there were."""
        choices = [
            {**kept, "tool_calls": list(kept["tool_calls"].values())} if "tool_calls" in kept else kept
            for _, kept in sorted(self._choices.items())
        ]
        counted = {"vectors": self._vectors} if self._vectors else {}
        return {"choices": choices, **counted, **({"verdicts": self._verdicts} if self._verdicts else {})}


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One call's."""

    id: str
    organisation: str
    created_us: int
    request: Request
    answer: Answer

    def request_json(self) -> str:
        """As its caller wrote it, where that is still what was let through; else in our own shape."""
        source = self.request.source
        if source is not None:
            return source.body.decode("utf-8", "replace")
        return msgspec.json.encode(_without_defaults(msgspec.to_builtins(self.request))).decode()

    def answer_json(self) -> str:
        return msgspec.json.encode(self.answer.written()).decode()


def _without_defaults(written: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in written.items() if value not in (None, "", False, [], {}, ())}
