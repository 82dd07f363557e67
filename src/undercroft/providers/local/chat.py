"""The local chat model as a provider."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from undercroft.errors import InvalidRequest, UndercroftError, UpstreamGarbled
from undercroft.ids import Ids
from undercroft.llm.reply import Reply, joined
from undercroft.llm.types import ChatRequest, Choice, Chunk, CompletionRequest, Tool, Usage
from undercroft.providers.local import dialect, tools
from undercroft.providers.local.engine import Engine, Operation, Piece

QUALITY = "demo quality, 135M"


class LocalChat:
    """Answers chats and continues texts with a GGUF model in this process.

    `quality` and the system prompt belong to the bundled model; a model of the operator's own has neither. One with a
    quality label is offered only the tools that a question seems to be about.
    """

    name = "local"

    def __init__(
        self,
        gguf: Path,
        *,
        label: str,
        quality: str | None = QUALITY,
        system_prompt: str | None = dialect.DEFAULT_SYSTEM_PROMPT,
        slots: int = 4,
        queue: int = 64,
        context_tokens: int = 8192,
        threads: int | None = None,
        load_timeout_s: float = 30.0,
        ids: Ids,
    ) -> None:
        self._engine = Engine(
            gguf,
            slots=slots,
            queue=queue,
            context_tokens=context_tokens,
            threads=threads,
            load_timeout_s=load_timeout_s,
        )
        self._label = label
        self._is_small = quality is not None
        self._system_prompt = system_prompt
        self._ids = ids
        self.context_length = context_tokens // slots
        self.description: Mapping[str, object] = {"context_length": self.context_length} | (
            {"quality": quality} if quality else {}
        )

    @property
    def state(self) -> str:
        """`idle`, `loading`, `ready`, `closed`, or `failed: ` and why."""
        return self._engine.state

    @property
    def in_flight(self) -> int:
        """Answers that are being made or wait for a slot."""
        return self._engine.in_flight

    def start(self) -> None:
        """Begins to load; returns at once. The first call does it too."""
        self._engine.start()

    async def close(self) -> None:
        await self._engine.close()

    async def send(self, request: ChatRequest, /) -> Reply:
        called = dialect.usable_tools(tools.callable_tools(request, by_words=self._is_small))
        count = self._choices(request.sampling.n)
        bodies = [
            dialect.chat_body(request, called, system_prompt=self._system_prompt, choice=choice)
            for choice in range(count)
        ]

        def read(piece: Piece, index: int, _: int) -> Choice | None:
            return dialect.chat_choice(piece, index, top_logprobs=request.top_logprobs or 0)

        chunks = self._answer("chat", bodies, read, prompts=1, param="messages")
        if called:
            chunks = self._with_calls(chunks, called)
        return await _reply(chunks, is_streamed=request.stream)

    async def complete(self, request: CompletionRequest, /) -> Reply:
        count = self._choices(request.sampling.n, prompts=len(request.prompts))
        bodies = [
            dialect.completion_body(request, prompt, choice=choice)
            for prompt in request.prompts
            for choice in range(count)
        ]

        def read(piece: Piece, index: int, offset: int) -> Choice | None:
            return dialect.completion_choice(piece, index, logprobs=request.logprobs, offset=offset)

        chunks = self._answer("completion", bodies, read, prompts=len(request.prompts), param="prompt")
        return await _reply(chunks, is_streamed=request.stream)

    def _choices(self, wanted: int, *, prompts: int = 1) -> int:
        if wanted * prompts > self._engine.capacity:
            raise InvalidRequest(f"The local model gives at most {self._engine.capacity} choices a call.", param="n")
        return wanted

    async def _answer(
        self,
        operation: Operation,
        bodies: list[dict[str, Any]],
        read: Callable[[Piece, int, int], Choice | None],
        *,
        prompts: int,
        param: str,
    ) -> AsyncGenerator[Chunk, None]:
        """A generation per choice (the runtime's own `n` counts the tokens of one only), put together."""
        generation = await self._engine.begin(operation, bodies)
        lengths = [0] * len(bodies)
        usages: dict[int, Usage] = {}
        is_open = set(range(len(bodies)))
        try:
            async for index, piece in generation.pieces():
                if "error" in piece:
                    raise dialect.told_error(piece["error"], param=param)
                usages[index] = dialect.usage_of(piece) or usages.get(index, Usage())
                choice = read(piece, index, lengths[index])
                if choice is not None:
                    lengths[index] += len(choice.text)
                    if choice.finish_reason:
                        is_open.discard(index)
                    yield Chunk(choices=(choice,), model=self._label)
            if is_open:
                raise UpstreamGarbled("The local model's answer broke off.")
            yield Chunk(usage=_total(usages, prompts), model=self._label)
        except UndercroftError:
            raise
        except Exception as error:
            raise dialect.raised_error(error) from error
        finally:
            self._engine.end(generation)

    async def _with_calls(
        self, chunks: AsyncGenerator[Chunk, None], called: tuple[Tool, ...]
    ) -> AsyncGenerator[Chunk, None]:
        """Holds each choice back until it is whole, then gives it as a tool call or as the text it turned out to be."""
        texts: dict[int, str] = {}
        async with aclosing(chunks):
            async for chunk in chunks:
                for choice in chunk.choices:
                    texts[choice.index] = texts.get(choice.index, "") + choice.text
                    if choice.role:
                        yield Chunk(choices=(Choice(index=choice.index, role=choice.role),), model=chunk.model)
                    if choice.finish_reason:
                        whole = self._read_call(choice, texts[choice.index], called)
                        yield Chunk(choices=(whole,), model=chunk.model)
                if chunk.usage is not None:
                    yield chunk

    def _read_call(self, last: Choice, text: str, called: tuple[Tool, ...]) -> Choice:
        said = tools.read(text, called, call_id=self._ids.new("call_"))
        if isinstance(said, str):
            return Choice(index=last.index, text=said, finish_reason=last.finish_reason)
        return Choice(index=last.index, tool_calls=(said,), finish_reason="tool_calls")


async def _reply(chunks: AsyncGenerator[Chunk, None], *, is_streamed: bool) -> Reply:
    """Waits for the first piece, or for all of a whole answer, so that what can go wrong early is raised here."""
    if not is_streamed:
        async with aclosing(chunks):
            return Reply(whole=await joined(chunks))
    started = _started(chunks)
    await anext(started)
    return Reply(started)


async def _started(chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """Yields an empty chunk first, for the caller to take: a generator that never ran would not close what it wraps."""
    async with aclosing(chunks):
        first = await anext(chunks)
        yield Chunk()
        yield first
        async for chunk in chunks:
            yield chunk


def _total(usages: Mapping[int, Usage], prompts: int) -> Usage:
    """A prompt counts once, however many choices it has."""
    per_prompt = len(usages) // prompts
    firsts = [usages[index] for index in range(0, len(usages), per_prompt)]
    return Usage(
        input=sum(usage.input for usage in firsts),
        output=sum(usage.output for usage in usages.values()),
        cache_read=sum(usage.cache_read for usage in firsts),
    )
