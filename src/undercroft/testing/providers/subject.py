"""A provider under test, and how a claim about it is run."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from undercroft.llm.types import Request

PATIENCE_S = 30.0
"""How long one claim may take before it counts as broken: hanging is a fault like any other."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the provider can do; claims about anything else are left out."""

    pieces: bool = True
    """Long answers come in several chunks when streamed."""
    usage: bool = True
    """Tokens are told for whole and streamed answers."""
    limits: bool = True
    """`max_tokens` cuts the answer and the finish reason says `length`."""
    stops: bool = True
    """`stop` ends the answer before the sequence."""
    choices: bool = True
    """`n` gives that many choices."""
    tools: bool = True
    """`tool_choice: required` gives a tool call."""
    schemas: bool = True
    """`response_format: json_schema` is obeyed."""


EVERYTHING: Final = Abilities()


@dataclass(frozen=True, slots=True)
class Subject:
    """A provider under test and what to ask it."""

    provider: object
    model: str = "test"
    prompt: str = "Count from one to ten in words."
    """Gives an answer of several words."""
    long_prompt: str = "Write a very long story about a lighthouse."
    """Gives an answer that is still running after a second piece."""
    flagged: str = "I will kill you."
    """A text that a moderation flags."""
    stop_word: str = " "
    """Surely part of the answer to `prompt`, but not its beginning."""
    running: Callable[[], int] | None = None
    """How many answers the upstream is generating now; lets the suite see that a closed reply stopped its upstream."""
    refused: tuple[Request, ...] = ()
    """Requests the provider must refuse or fail at, with an allowed error."""


Claim = Callable[[Subject], Coroutine[Any, Any, None]]


def check(claim: Claim, open_subject: Callable[[], AbstractAsyncContextManager[Subject]]) -> None:
    """Runs one claim in a loop of its own, with a time limit."""

    async def run() -> None:
        async with open_subject() as subject:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await claim(subject)
            except TimeoutError as error:
                raise AssertionError(f"{name_of(claim)}: nothing came for {PATIENCE_S:.0f} s") from error

    asyncio.run(run())


def name_of(claim: Claim) -> str:
    """A claim's name, for test ids."""
    return getattr(claim, "__name__", repr(claim))
