"""OpenAI's Responses at a provider: passed on where it speaks the format, and asked as a chat where it does not."""

from collections.abc import Coroutine
from typing import Any

from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest
from undercroft.llm.unsupported import Unsupported
from undercroft.providers.openai_compatible import PLAIN, ChoicesReading, Manners, OpenAICompatible
from undercroft.providers.remote import EventStream, streamed, whole
from undercroft.wire.openai import responses
from undercroft.wire.openai.responses import upstream


class OpenAIResponses(OpenAICompatible):
    """An OpenAICompatible that also takes requests for a response; all others go their usual way.

    `previous_response_id` reaches the provider only when it is none of ours (`wire/openai/responses/request.py`).
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: str | None,
        model: str,
        client: Client,
        clock: Clock,
        manners: Manners = PLAIN,
        speaks_responses: bool,
    ) -> None:
        super().__init__(
            name, base_url=base_url, api_key=api_key, model=model, client=client, clock=clock, manners=manners
        )
        self.speaks_responses = speaks_responses
        """It has `/responses` itself: what is sent there keeps every item and tool, whatever they are."""
        self._responses_head = self._head("responses")

    def send(self, request: ChatRequest, /) -> Coroutine[Any, Any, Reply]:
        """Not a coroutine of its own: chats, which are most calls, have one already."""
        if request.source is None or request.source.dialect != upstream.DIALECT:
            return super().send(request)
        return self._relay(request) if self.speaks_responses else self._translate(request)

    async def _relay(self, request: ChatRequest) -> Reply:
        body = upstream.encode_request(request, model=self._model)
        response = await self._post(self._responses_head, body)
        if request.stream:
            reading = ChoicesReading(upstream.decode_event, choices=1)
            return await streamed(response, reading, upstream.decode_whole, kind=ResponseEvents)
        return await whole(response, upstream.decode_whole)

    async def _translate(self, request: ChatRequest) -> Reply:
        unsupported = Unsupported(self._target, drop=self._drop_unsupported)
        plain = responses.as_chat(responses.portable(request, unsupported))
        reply = await super().send(plain)
        reply.dropped += tuple(unsupported.names)
        return reply


class ResponseEvents(EventStream):
    """The events of a response, which is over with its last event: `[DONE]` is not said here."""

    __slots__ = ()

    async def _receive(self) -> None:
        if self._reading.is_complete:
            self._is_over = True
            self._response.discard()
            return
        await super()._receive()
