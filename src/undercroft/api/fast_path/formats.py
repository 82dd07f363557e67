"""The wire formats in which plain calls come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from undercroft.api.anthropic import messages
from undercroft.api.calls import Encoder
from undercroft.api.envelopes import Envelope
from undercroft.api.fast_path.translation import FROM_ANTHROPIC, UNTOUCHED, Translation
from undercroft.api.openai.chat import ChatCodec
from undercroft.llm.types import ChatRequest
from undercroft.wire import anthropic
from undercroft.wire import errors as openai_errors
from undercroft.wire.anthropic import errors as anthropic_errors
from undercroft.wire.openai import chat

Passed = tuple[tuple[str, str], ...]
"""Fields of a head that say how its body is to be read."""


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """One of them, with the pieces of its route."""

    path: str
    codec: Encoder[Any]
    passed: Callable[[Callable[[bytes], str]], Passed]
    """Of a head, by a function that looks a field up. Raises InvalidRequest."""
    decode: Callable[[bytes, Passed], ChatRequest]
    """Raises InvalidRequest."""
    envelope: Envelope
    translation: Translation
    """For providers that speak OpenAI's format."""
    is_openai: bool
    """What a provider says that speaks OpenAI's format goes to the caller as it is."""

    @property
    def beginning(self) -> bytes:
        """How its requests begin."""
        return b"POST %b HTTP/1.1\r\n" % self.path.encode()


FORMATS: Final = (
    Format(
        path=ChatCodec.endpoint,
        codec=ChatCodec(),
        passed=lambda _: (),
        decode=lambda body, _: chat.decode(body),
        envelope=openai_errors.envelope,
        translation=UNTOUCHED,
        is_openai=True,
    ),
    Format(
        path=messages.PATH,
        codec=messages.MessagesCodec(),
        passed=messages.passed_of,
        decode=lambda body, passed: anthropic.decode(body, headers=passed),
        envelope=anthropic_errors.envelope,
        translation=FROM_ANTHROPIC,
        is_openai=False,
    ),
)
BEGINNINGS: Final[Mapping[bytes, Format]] = {each.beginning: each for each in FORMATS}
BY_PATH: Final[Mapping[str, Format]] = {each.path: each for each in FORMATS}
