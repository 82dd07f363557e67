"""How plain calls of one format are put to providers that speak OpenAI's, and what these answer told to callers."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from undercroft.api.fast_path.plan import Way
from undercroft.record import Usage
from undercroft.wire import anthropic
from undercroft.wire.anthropic import plain as plain_messages
from undercroft.wire.openai import chat
from undercroft.wire.openai.chat import plain as plain_chat


class Asked(Protocol):
    """A plain request for a whole answer."""

    @property
    def model(self) -> str: ...

    @property
    def longest(self) -> int | None:
        """Tokens that the answer may have; None where the caller does not say."""
        ...

    def size(self) -> tuple[int, int]:
        """Its messages, and the characters of their texts."""
        ...


Answered = tuple[bytes, Usage, str]
"""The usual answer: its body for the caller, what it used, and which model the provider says it is of."""


class Translation(msgspec.Struct, frozen=True, eq=False):
    """Of one format. What it takes, the general readers and writers translate into the same bytes."""

    read: Callable[[bytes], Asked | None]
    """None: it is not plain."""
    sent: Callable[[Any, bytes, Way], bytes]
    """What goes to the provider of what was read of a body."""
    answered: Callable[[bytes, str, str], Answered | None]
    """What comes of a provider's answer to a call (its id) of a model (its public name); None where there is more to
    it, or it is none."""


def _renamed(asked: Asked, body: bytes, way: Way) -> bytes:
    return way.provider.renamed(body, asked.model)


def _passed_on(body: bytes, _call_id: str, _model: str) -> Answered | None:
    usual = chat.usual(body)
    return None if usual is None else (body, *usual)


UNTOUCHED: Final = Translation(plain_chat.decode, _renamed, _passed_on)
"""The caller speaks it too."""


def _put(asked: plain_messages.PlainBody, _: bytes, way: Way) -> bytes:
    model = way.deployment.upstream_model
    return way.provider.renamed(plain_messages.for_openai(asked, model=model), model)


def _message(body: bytes, call_id: str, model: str) -> Answered | None:
    whole = chat.usual_whole(body)
    if whole is None or whole.usage is None:
        return None
    message = anthropic.whole(whole, id=anthropic.message_id(call_id), model=whole.model or model)
    return message, whole.usage, whole.model


FROM_ANTHROPIC: Final = Translation(plain_messages.decode, _put, _message)
