"""Answers of models, written down once and played back: tests of AI applications need no key and no network."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from undercroft.errors import NotFound
from undercroft.evaluation.check import Moderated, Tools
from undercroft.evaluation.store import AnswerStore, key_of
from undercroft.evaluation.types import Answer, Asking, Message, PromptRef

Mode = Literal["replay", "record", "live"]


class Live(Tools, Protocol):
    """What really answers."""

    async def asked(
        self,
        model: str,
        messages: Sequence[Message],
        asking: Asking,
        prompt: PromptRef | None,
        values: dict[str, object],
        /,
    ) -> Answer: ...


class Recorded:
    """Tools between a test and what really answers, which `live` makes when it is first needed.

    `replay` never asks: what was not recorded is NotFound. `record` asks for what is missing and keeps it; `live` asks
    each time.
    """

    def __init__(self, store: AnswerStore, mode: Mode, *, live: Callable[[], Awaitable[Live]]) -> None:
        self._store = store
        self._mode = mode
        self._live = live

    async def asked(
        self,
        model: str,
        messages: Sequence[Message],
        asking: Asking,
        prompt: PromptRef | None,
        values: dict[str, object],
        /,
    ) -> Answer:
        """One answer. Raises NotFound where it was not recorded."""
        key = key_of("ask", model, messages, asking, prompt, values)

        async def really() -> Answer:
            return await (await self._live()).asked(model, messages, asking, prompt, values)

        return await self._kept(key, f"{model or 'the default model'}: {messages[-1].content[:80]!r}", really)

    async def ask(self, model: str, messages: Sequence[Message], asking: Asking, /) -> Answer:
        return await self.asked(model, messages, asking, None, {})

    async def embed(self, model: str, texts: Sequence[str], /) -> list[list[float]]:
        async def really() -> Answer:
            return _packed(await (await self._live()).embed(model, texts))

        kept = await self._kept(key_of("embed", model, texts), f"{model}: embeddings", really)
        return msgspec.json.decode(kept.text, type=list[list[float]])

    async def moderate(self, model: str, text: str, /) -> Moderated:
        async def really() -> Answer:
            return _packed(await (await self._live()).moderate(model, text))

        kept = await self._kept(key_of("moderate", model, text), f"{model}: a moderation", really)
        return msgspec.json.decode(kept.text, type=Moderated)

    async def search(self, collection: str, query: str, count: int, /) -> list[str]:
        async def really() -> Answer:
            return _packed(await (await self._live()).search(collection, query, count))

        kept = await self._kept(key_of("search", collection, query, count), f"{collection}: a search", really)
        return msgspec.json.decode(kept.text, type=list[str])

    async def _kept(self, key: str, what: str, really: Callable[[], Awaitable[Answer]]) -> Answer:
        kept = self._store.get(key) if self._mode != "live" else None
        if kept is not None:
            return kept
        if self._mode == "replay":
            raise NotFound(
                f"This was never recorded: {what}.",
                code="not_recorded",
                hint="Type: pytest --undercroft-eval=record   and commit the recordings.",
            )
        answer = await really()
        if self._mode == "record":
            self._store.put(key, answer)
        return answer


def _packed(value: object) -> Answer:
    return Answer(text=msgspec.json.encode(value).decode())
