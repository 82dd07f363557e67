"""Evaluations over an assembled undercroft: what is asked goes through the gateway, booked like any other call."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from undercroft.assembly.releases import LiveBook
from undercroft.clock import Clock
from undercroft.errors import Conflict, InvalidRequest, UndercroftError
from undercroft.evaluation.check import Moderated
from undercroft.evaluation.store import key_of
from undercroft.evaluation.types import Answer, Asking, Case, Message, PromptRef
from undercroft.gateway.call import Call
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.llm import types as llm
from undercroft.llm.types import ChatRequest, EmbeddingsRequest, ModerationRequest, PromptUse, Request, Sampling
from undercroft.record import Who
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.vectors.store import VectorStore

ENDPOINT: Final = "evaluation"
"""What calls of evaluations are booked under."""
EMBEDDER: Final = "local-embedding"


class Bench:
    """Asks models, and is the `Tools` of checks. `store` opens the vector store, where there is one."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        settings: Settings,
        book: LiveBook,
        who: Who,
        ids: Ids,
        clock: Clock,
        store: "Callable[[], Awaitable[VectorStore]] | None" = None,
        endpoint: str = ENDPOINT,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._book = book
        self._who = who
        self._ids = ids
        self._clock = clock
        self._store = store
        self._endpoint = endpoint
        self.spent_nano = 0
        """By all that it has asked."""

    async def ask(
        self,
        model: str,
        messages: Sequence[Message],
        asking: Asking,
        /,
        *,
        prompt: PromptUse | None = None,
    ) -> Answer:
        """One answer; an error is an answer too."""
        sampling = Sampling(temperature=asking.temperature, max_tokens=asking.max_tokens, seed=asking.seed)
        asked = tuple([llm.Message(role=each.role, content=each.content) for each in messages])
        call = self._call(ChatRequest(model=model, messages=asked, sampling=sampling, prompt=prompt))
        started = self._clock.monotonic()
        try:
            text = (await self._sent(call)).text()
        except UndercroftError as error:
            return Answer(error=f"{error.code}: {error.message}", release=call.trail.release)
        usage = call.trail.usage
        return Answer(
            text=text,
            release=call.trail.release,
            latency_ms=round((self._clock.monotonic() - started) * 1000, 3),
            cost_nano=call.trail.cost_nano,
            input_tokens=usage.input if usage else 0,
            output_tokens=usage.output if usage else 0,
        )

    async def asked(
        self,
        model: str,
        messages: Sequence[Message],
        asking: Asking,
        prompt: PromptRef | None,
        values: dict[str, object],
        /,
    ) -> Answer:
        """The same with a stored prompt, or with the variables of the release's own."""
        use = None
        if prompt is not None:
            use = PromptUse(name=prompt.name, version=prompt.version, variables=values)
        elif values:
            use = PromptUse(variables=values)
        return await self.ask(model, messages, asking, prompt=use)

    async def embed(self, model: str, texts: Sequence[str], /) -> list[list[float]]:
        """Vectors of length 1. Raises UndercroftError kinds."""
        chunk = await self._whole(EmbeddingsRequest(model=model, inputs=tuple(texts)))
        return [_unit(vector.tolist()) for vector in chunk.vectors]

    async def moderate(self, model: str, text: str, /) -> Moderated:
        """What a moderation model says. Raises UndercroftError kinds."""
        (verdict,) = (await self._whole(ModerationRequest(model=model, inputs=(text,)))).verdicts
        return Moderated(verdict.flagged, tuple(name for name, applies in verdict.categories.items() if applies))

    async def search(self, collection: str, query: str, count: int, /) -> list[str]:
        """Ids, best first. The question is embedded by the bundled model, as `undercroft vectors search` does."""
        if self._store is None:
            raise InvalidRequest("There is no vector store here to search.")
        from undercroft.vectors.types import Query, vector_of

        chunk = await self._whole(EmbeddingsRequest(model=EMBEDDER, inputs=(query,)))
        store = await self._store()
        return [
            hit.id for hit in await store.search(collection, Query(vector=vector_of(chunk.vectors[0]), limit=count))
        ]

    def address_of(self, model: str) -> str:
        """What stands behind a name: its release, and the deployments of the configured model that answers."""
        name, pinned = self._resolved(model)
        target = pinned if pinned is not None else name
        configured = [each.model_dump(mode="json") for each in self._settings.models if each.name in (target, name)]
        return key_of(name, configured)

    def fixed(self, model: str) -> str:
        """The name that stays the same while releases are moved: an alias's stable release, by its id."""
        return self._resolved(model)[0]

    def _resolved(self, model: str) -> tuple[str, str | None]:
        """A name that always means the same, and the configured model behind it where a release names one."""
        book, organisation = self._book.book, self._who.organisation
        if book is None:
            return model, None
        traffic = book.traffic(organisation, model)
        if traffic is not None:
            return f"{model}@{traffic.stable.id}", traffic.stable.target
        alias, at, reference = model.rpartition("@")
        pinned = book.version(organisation, alias, reference) if at else None
        if pinned is None:
            return model, None
        fixed = pinned.id if "@" in pinned.id else f"{alias}@{pinned.id}"
        return fixed, pinned.target

    def prompt_address(self, prompt: PromptRef) -> str:
        """The version that a prompt's label means now. Raises NotFound and Conflict."""
        if self._book.book is None:
            raise Conflict(f"There is no prompt '{prompt.name}'.", code="version_not_found")
        return self._book.book.prompt(self._who.organisation, prompt.name, prompt.version)[0]

    async def _whole(self, request: Request) -> llm.Chunk:
        return await self._sent(self._call(request))

    async def _sent(self, call: Call) -> llm.Chunk:
        try:
            return await (await self._gateway.send(call)).read()
        finally:
            self.spent_nano += call.trail.cost_nano

    def _call(self, request: Request) -> Call:
        started = self._clock.monotonic()
        return Call(
            id=self._ids.new("req_"),
            endpoint=self._endpoint,
            who=self._who,
            request=request,
            started_us=self._clock.now_us(),
            started=started,
            deadline=started + self._settings.server.request_timeout_s,
        )


class ModelSubject:
    """A model with the prompt and parameters of a suite."""

    def __init__(self, bench: Bench, model: str, *, prompt: PromptRef | None, asking: Asking) -> None:
        self.model = model
        self._bench = bench
        self._asked = bench.fixed(model)
        self._prompt = prompt
        self._asking = asking

    async def address(self) -> str:
        prompt = None if self._prompt is None else self._bench.prompt_address(self._prompt)
        return key_of(self._bench.address_of(self.model), prompt, msgspec.to_builtins(self._asking))

    async def ask(self, case: Case, /) -> Answer:
        return await self._bench.asked(self._asked, case.messages, self._asking, self._prompt, case.variables)


def _unit(vector: list[Any]) -> list[float]:
    length = sum(each * each for each in vector) ** 0.5 or 1.0
    return [each / length for each in vector]
