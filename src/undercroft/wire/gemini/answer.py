"""Reads what Gemini answers, whole or as a stream of pieces of the same form."""

from typing import Any, Final

import msgspec

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import Choice, Chunk, ToolCallDelta
from undercroft.record import Usage
from undercroft.wire.gemini.failures import error_in_answer
from undercroft.wire.gemini.logprobs import LogprobsBody, logprobs_of

FILTERED: Final = frozenset(
    {
        "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
    }
)  # fmt: skip
_FAILED: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"}
)
"""The model made something that is no answer; the next time it may."""


class CallBody(msgspec.Struct, gc=False):
    """A function the model wants called, always whole."""

    name: str = ""
    args: dict[str, Any] | None = None
    id: str | None = None


class PartBody(msgspec.Struct, rename="camel", gc=False):
    """A piece of an answer. What has no place in a conversation's text (code it ran, images) is not read."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: CallBody | None = None


class ContentBody(msgspec.Struct, gc=False):
    """A candidate's parts."""

    parts: list[PartBody] | None = None


class CandidateBody(msgspec.Struct, rename="camel", gc=False):
    """One of the answers asked for. The index is left out where it is 0, the content where there is none."""

    content: ContentBody | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int = 0
    logprobs_result: LogprobsBody | None = None


class FeedbackBody(msgspec.Struct, rename="camel", gc=False):
    """What is wrong with the prompt."""

    block_reason: str | None = None


class ModalityBody(msgspec.Struct, rename="camel", gc=False):
    """How many of the tokens were text, audio or images."""

    modality: str = ""
    token_count: int = 0


class UsageBody(msgspec.Struct, rename="camel", gc=False):
    """Tokens so far; thoughts are counted beside the candidates."""

    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    cached_content_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    prompt_tokens_details: list[ModalityBody] | None = None
    candidates_tokens_details: list[ModalityBody] | None = None


class AnswerBody(msgspec.Struct, rename="camel", gc=False):
    """An answer, or a piece of one."""

    candidates: list[CandidateBody] | None = None
    prompt_feedback: FeedbackBody | None = None
    usage_metadata: UsageBody | None = None
    model_version: str = ""
    response_id: str = ""
    error: Any = None


_decoder = msgspec.json.Decoder(AnswerBody, strict=False)
_encode = msgspec.json.Encoder().encode


def decode_whole(body: bytes, *, choices: int = 1) -> Chunk:
    """A whole answer. Raises the error it holds, or UpstreamGarbled."""
    chunk = Reading(choices=choices).piece(body)
    if not chunk.choices:
        raise UpstreamGarbled("The provider's answer has no candidates.")
    return chunk


class Reading:
    """One stream's pieces; a whole answer is one such piece."""

    __slots__ = ("_called", "_choices", "_finished", "_seen", "_signed")

    has_begun = True
    """The first piece already is the model's."""

    def __init__(self, *, choices: int) -> None:
        self._choices = choices
        self._called: dict[int, int] = {}
        """Calls so far by candidate."""
        self._signed: set[int] = set()
        self._seen: set[int] = set()
        self._finished: set[int] = set()

    @property
    def is_complete(self) -> bool:
        """Nothing ends a stream but its connection: it may stop when every candidate has said why it ended."""
        return bool(self._seen) and self._seen == self._finished and len(self._finished) >= self._choices

    def read(self, event: bytes) -> Chunk | None:
        """One piece; None for the end that a gateway on the way adds. Raises the error it holds, or UpstreamGarbled."""
        if event == b"[DONE]" and self.is_complete:
            return None
        return self.piece(event)

    def piece(self, event: bytes) -> Chunk:
        """One piece that is no end."""
        body = _read(event)
        if body.candidates:
            choices = tuple([self._choice(candidate, body) for candidate in body.candidates])
        elif body.prompt_feedback is not None and body.prompt_feedback.block_reason:
            choices = tuple(
                [
                    Choice(index=index, role="assistant", finish_reason="content_filter")
                    for index in range(self._choices)
                ]
            )
        else:
            choices = ()
        for choice in choices:
            self._seen.add(choice.index)
            if choice.finish_reason is not None:
                self._finished.add(choice.index)
        usage = None if body.usage_metadata is None else usage_of(body.usage_metadata)
        return Chunk(choices=choices, usage=usage, model=body.model_version)

    def _choice(self, candidate: CandidateBody, body: AnswerBody) -> Choice:
        index = candidate.index
        parts = (candidate.content.parts or ()) if candidate.content is not None else ()
        calls = tuple([self._call(index, part.function_call, body) for part in parts if part.function_call is not None])
        logprobs = candidate.logprobs_result
        return Choice(
            index=index,
            role=None if index in self._seen else "assistant",
            text="".join([part.text for part in parts if part.text and not part.thought]),
            reasoning="".join([part.text for part in parts if part.text and part.thought]),
            signature=self._signature(index, parts),
            tool_calls=calls,
            finish_reason=self._finish(candidate),
            logprobs=None if logprobs is None else logprobs_of(logprobs),
        )

    def _call(self, index: int, call: CallBody, body: AnswerBody) -> ToolCallDelta:
        number = self._called.get(index, 0)
        self._called[index] = number + 1
        made_up = "_".join(["call", *filter(None, [body.response_id]), str(index), str(number)])
        return ToolCallDelta(
            index=number, id=call.id or made_up, name=call.name, arguments=_encode(call.args or {}).decode()
        )

    def _signature(self, index: int, parts: "list[PartBody] | tuple[()]") -> str:
        """The first one: signatures of later pieces are not parts of it."""
        if index in self._signed:
            return ""
        signature = next((part.thought_signature for part in parts if part.thought_signature), "")
        if signature:
            self._signed.add(index)
        return signature

    def _finish(self, candidate: CandidateBody) -> str | None:
        reason = candidate.finish_reason
        if reason is None or reason == "FINISH_REASON_UNSPECIFIED":
            return None
        if reason in _FAILED:
            said = f": {candidate.finish_message}" if candidate.finish_message else "."
            raise UpstreamGarbled(f"The model ended with {reason}{said}")
        if reason in FILTERED:
            return "content_filter"
        if reason == "MAX_TOKENS":
            return "length"
        return "tool_calls" if self._called.get(candidate.index) else "stop"


def usage_of(body: UsageBody) -> Usage:
    """In the normal form: thoughts belong to the output, what tools put into the prompt to the input."""
    return Usage(
        input=body.prompt_token_count + body.tool_use_prompt_token_count,
        output=body.candidates_token_count + body.thoughts_token_count,
        cache_read=body.cached_content_token_count,
        reasoning=body.thoughts_token_count,
        audio_input=_audio(body.prompt_tokens_details),
        audio_output=_audio(body.candidates_tokens_details),
    )


def _audio(details: list[ModalityBody] | None) -> int:
    return sum(each.token_count for each in details or () if each.modality == "AUDIO")


def _read(data: bytes) -> AnswerBody:
    try:
        body = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "a web page" if data.lstrip()[:1] == b"<" else "something that is not in the format of its answers"
        raise UpstreamGarbled(f"The provider sent {what}.") from error
    if body.error is not None:
        raise error_in_answer(body.error)
    return body
