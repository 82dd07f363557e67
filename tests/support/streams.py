"""An event stream as a client without an SDK reads it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from tests.support.http import Answer


@dataclass(frozen=True)
class Told:
    """What came of one streamed chat answer."""

    answer: Answer
    events: list[dict[str, Any]]
    is_done: bool
    """`[DONE]` was the last thing said."""

    @property
    def text(self) -> str:
        return "".join(str(choice["delta"].get("content") or "") for choice in self._choices)

    @property
    def finish_reasons(self) -> list[str]:
        return [choice["finish_reason"] for choice in self._choices if choice["finish_reason"]]

    @property
    def roles(self) -> int:
        return sum("role" in choice["delta"] for choice in self._choices)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error frame's content; None when there was none."""
        found = [event["error"] for event in self.events if "error" in event]
        return found[0] if found else None

    @property
    def usage(self) -> dict[str, Any] | None:
        found = [event["usage"] for event in self.events if event.get("usage")]
        return found[-1] if found else None

    @property
    def ids(self) -> set[tuple[str, str]]:
        """Every id and model that the events bear."""
        return {(event["id"], event["model"]) for event in self.events if "id" in event}

    @property
    def is_whole(self) -> bool:
        """It ended as a complete answer ends."""
        return self.is_done and self.error is None and self.finish_reasons == ["stop"]

    @property
    def is_told_broken(self) -> bool:
        """It ended in an error, and nothing in it could be taken for a proper end."""
        return not self.is_done and self.error is not None and self.finish_reasons == []

    @property
    def _choices(self) -> list[dict[str, Any]]:
        return [choice for event in self.events for choice in event.get("choices", ())]


def told(answer: Answer) -> Told:
    """A stream taken apart; an answer that is no stream has no events."""
    if "event-stream" not in answer.headers.get("content-type", ""):
        return Told(answer, [], is_done=False)
    payloads = [frame.removeprefix(b"data: ") for frame in answer.body.split(b"\n\n") if frame.startswith(b"data: ")]
    is_done = bool(payloads) and payloads[-1] == b"[DONE]"
    return Told(answer, [msgspec.json.decode(each) for each in payloads if each != b"[DONE]"], is_done)
