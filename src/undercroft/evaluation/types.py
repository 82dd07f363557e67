"""Suites, answers and marks, as values."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A turn of the conversation that is to be continued."""

    role: Literal["system", "developer", "user", "assistant"] = "user"
    content: str


class CheckSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A check by its name, with what it is to be told."""

    kind: str
    value: Any = None


class PromptRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stored prompt that every case begins with."""

    name: Name
    version: str = "production"


class Asking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a model is asked; what is left out is as the model has it."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    seed: int | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A question, and what its answer is to be like."""

    id: str
    messages: tuple[Message, ...]
    variables: dict[str, Any] = {}
    expected: str | None = None
    checks: tuple[CheckSpec, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """The last thing that was asked."""
        return self.messages[-1].content if self.messages else ""


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """Cases that are run together."""

    name: str
    cases: tuple[Case, ...]
    model: str = ""
    prompt: PromptRef | None = None
    asking: Asking = Asking()
    repeat: int = 1


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking once. Times in ms, money in nano-dollars."""

    text: str = ""
    error: str = ""
    """Why there is no text: an error's code and message."""
    release: str = ""
    latency_ms: float = 0.0
    cost_nano: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a check says. Scores go from 0 to 1."""

    check: str
    passed: bool
    score: float
    note: str = ""
    cost_nano: int = 0
    """Of the check itself: a judge is a model too."""
    failed: bool = False
    """The check could not be made: whoever it asks did not answer."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A case, asked once."""

    case: str
    repeat: int
    answer: Answer
    marks: tuple[Mark, ...] = ()
    cached: bool = False

    @property
    def passed(self) -> bool:
        return not self.answer.error and all(mark.passed for mark in self.marks)

    @property
    def score(self) -> float:
        """The mean of its checks; 0 without an answer."""
        if self.answer.error:
            return 0.0
        return sum(mark.score for mark in self.marks) / len(self.marks) if self.marks else 1.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Every trial of a suite with one model."""

    suite: str
    model: str
    trials: tuple[Trial, ...]
    spent_nano: int = 0
    """What this run itself has cost; answers out of the cache cost nothing."""
    left_out: int = 0
    """Trials that were not begun, because the cost cap was reached."""
