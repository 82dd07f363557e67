"""Goes on with an answer that was cut in the middle, where the operator allows it and the request can be gone on with.

The text that has been passed on is put before the model as the beginning of its own answer. A model that does not
take it that way, or a request where the seam would show, ends in the error of the cut.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from undercroft.errors import UndercroftError, UpstreamError
from undercroft.gateway.call import Call, Handler, Part
from undercroft.gateway.course import Course, course
from undercroft.gateway.policy import MAX_ATTEMPTS
from undercroft.gateway.spending import added, without
from undercroft.llm.reply import Reply
from undercroft.llm.tokens import estimate_input, estimate_text
from undercroft.llm.types import ChatRequest, Choice, Chunk, Message, Request, Usage
from undercroft.wire.continuation import continued
from undercroft.wire.longest import at_longest

_BLANKS: Final = " \t\r\n"


def is_resumable(request: Request) -> bool:
    """Whether the answer is nothing but one text: tool calls, schemas, several choices and log probabilities cannot be
    gone on with by another model without the seam showing."""
    return (
        isinstance(request, ChatRequest)
        and request.stream
        and not request.tools
        and not request.logprobs
        and request.sampling.n == 1
        and request.response_format.type == "text"
        and bool(request.messages)
        and request.messages[-1].role != "assistant"
    )


class Told:
    """What of an answer has been passed on."""

    def __init__(self) -> None:
        self.text = ""
        self.is_plain = True
        """Text and nothing else: no reasoning, no refusal, no tool call."""
        self.is_finished = False

    def note(self, choice: Choice) -> None:
        self.text += choice.text
        if choice.finish_reason is not None:
            self.is_finished = True
        if choice.reasoning or choice.refusal or choice.tool_calls or choice.index:
            self.is_plain = False

    @property
    def can_go_on(self) -> bool:
        return self.is_plain and not self.is_finished and bool(self.text.strip(_BLANKS))


class Resume:
    """Wraps the streams of models with `on_cut = "continue"`. Both parts are billed, each at its deployment's price."""

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        trail = call.trail
        assert trail.found is not None, "Find stands before Resume"
        if trail.found.policy.on_cut != "continue" or not is_resumable(call.request):
            return await proceed(call)
        mark = len(trail.releases)
        reply = await proceed(call)
        if reply.whole is not None:
            return reply
        return Reply(self._resumed(call, reply.chunks, proceed, mark), dropped=reply.dropped, has_begun=reply.has_begun)

    async def _resumed(
        self, call: Call, chunks: AsyncGenerator[Chunk, None], proceed: Handler, mark: int
    ) -> AsyncGenerator[Chunk, None]:
        told = Told()
        seam: Seam | None = None
        while True:
            try:
                async with aclosing(chunks):
                    async for chunk in chunks:
                        fitted = _with_our_id(chunk) if seam is None else seam.fit(chunk)
                        for choice in fitted.choices:
                            told.note(choice)
                        yield fitted
                return
            except UpstreamError as error:
                cut = error
            chunks = (await self._go_on(call, told, proceed, cut, mark)).chunks
            seam = Seam(call.trail.parts, told.text)

    async def _go_on(self, call: Call, told: Told, proceed: Handler, cut: UpstreamError, mark: int) -> Reply:
        """The rest of the answer; raises the cut when there is none to be had."""
        trail = call.trail
        request, deployment = call.request, trail.deployment
        assert isinstance(request, ChatRequest) and deployment is not None  # noqa: PT018 - what made a stream
        may_help = course(cut) in (Course.AGAIN, Course.ELSEWHERE)
        if not told.can_go_on or not may_help or trail.attempts >= MAX_ATTEMPTS:
            raise cut
        if deployment in trail.failed and trail.found is not None and trail.found.policy.fallbacks:
            trail.given_up += (deployment,)  # it broke off before: a fallback is more likely to come to the end
        trail.note_failure(cut)
        for release in trail.releases[mark:]:  # the part has ended, and so has its hold on the deployment
            release(cut)
        del trail.releases[mark:]
        found, asked = trail.found, trail.asked
        if trail.most_output is not None:
            request = at_longest(request, trail.most_output)
        try:
            reply = await proceed(replace(call, request=resumed(request, told.text)))
        except UndercroftError as error:
            trail.found, trail.asked, trail.deployment = found, asked, deployment  # what was told came from there
            raise cut from error
        trail.parts += (Part(deployment, _usage_of_part(call)),)
        trail.usage, trail.produced_characters = None, 0
        return reply


def resumed(request: ChatRequest, text: str) -> ChatRequest:
    """The request for the rest of an answer that began with `text`. Some providers refuse an answer that ends in
    blanks: those are left out, and `Seam` takes them from the rest."""
    said = text.rstrip(_BLANKS)
    spent = estimate_text(len(text))
    sampling = request.sampling
    if sampling.max_tokens is not None:
        sampling = replace(sampling, max_tokens=max(sampling.max_tokens - spent, 1))
    source = request.source
    return replace(
        request,
        messages=(*request.messages, Message(role="assistant", content=said)),
        sampling=sampling,
        source=continued(source, text=said, spent_tokens=spent) if source is not None else None,
    )


class Seam:
    """Makes the pieces of the rest fit what was passed on before: no second role, no blanks twice, usage in sum."""

    def __init__(self, parts: tuple[Part, ...], text: str) -> None:
        self._spent = [part.usage for part in parts]
        self._blanks = text[len(text.rstrip(_BLANKS)) :]

    def fit(self, chunk: Chunk) -> Chunk:
        usage = added([*self._spent, chunk.usage]) if chunk.usage is not None else None
        choices = tuple(replace(choice, role=None, text=self._without_blanks(choice.text)) for choice in chunk.choices)
        return replace(chunk, choices=choices, usage=usage, source=None, dialect=None, whole=False)

    def _without_blanks(self, text: str) -> str:
        while text and self._blanks and text[0] == self._blanks[0]:
            text, self._blanks = text[1:], self._blanks[1:]
        if text:
            self._blanks = ""
        return text


def _with_our_id(chunk: Chunk) -> Chunk:
    """Pieces of OpenAI's chat format are passed on as they are, and the rest is written in their form. A writer of
    another dialect writes all of them anew, or one stream would bear two ids."""
    return chunk if chunk.dialect is None else replace(chunk, source=None, dialect=None)


def _usage_of_part(call: Call) -> Usage:
    """The provider's count of the part that was cut, else ours."""
    trail = call.trail
    if trail.usage is not None:
        told = without(trail.usage, [part.usage for part in trail.parts])
        return told if told.output else replace(told, output=estimate_text(trail.produced_characters))
    return Usage(input=estimate_input(call.request), output=estimate_text(trail.produced_characters))
