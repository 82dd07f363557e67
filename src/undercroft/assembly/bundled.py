"""The bundled models as part of a running server: in this process, or in one that several workers share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from undercroft.assembly.process import Process
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.egress.http1 import request_head
from undercroft.egress.origin import Origin
from undercroft.errors import UndercroftError
from undercroft.ids import Ids
from undercroft.providers.local.weights import Weights, locate
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.providers.local.chat import LocalChat
    from undercroft.providers.local.embedder import LocalEmbedder
    from undercroft.providers.openai_compatible import OpenAICompatible

LOCAL: Final = "local"
LOCAL_EMBEDDING: Final = "local-embedding"
LOCAL_MODERATION: Final = "local-moderation"
LABEL: Final = "undercroft-local"
POLL_S: Final = 1.0
STATES_LIMIT_BYTES: Final = 4096


class BundledModels(Protocol):
    """`local` and `local-embedding`; either is None where its weights are not installed."""

    @property
    def chat(self) -> object | None: ...

    @property
    def embedding(self) -> object | None: ...

    @property
    def notes(self) -> Mapping[str, Mapping[str, object]]:
        """What `/v1/models` says of each."""
        ...

    def start(self, *, chat: bool, embedding: bool) -> None:
        """Begins to load what will be asked for; the rest loads with its first call."""
        ...

    def states(self) -> Mapping[str, str]:
        """`ok`, `loading`, or what went wrong, of each model that has begun to load."""
        ...

    async def close(self) -> None: ...


class OwnModels:
    """Loaded into this process. Nothing is loaded by making this."""

    def __init__(self, settings: Settings, *, ids: Ids) -> None:
        local = settings.local
        weights = locate(local.models_dir, settings.data_dir)
        gguf = local.chat_gguf or (weights.chat if weights else None)
        self.chat = _chat(settings, gguf, ids=ids) if gguf else None
        self.embedding = _embedding(settings, weights) if weights else None

    @property
    def notes(self) -> Mapping[str, Mapping[str, object]]:
        return {name: model.description for name, model in self._models()}

    def start(self, *, chat: bool, embedding: bool) -> None:
        if chat and self.chat is not None:
            self.chat.start()
        if embedding and self.embedding is not None:
            self.embedding.start()

    def states(self) -> Mapping[str, str]:
        return {
            name: "ok" if model.state == "ready" else model.state
            for name, model in self._models()
            if model.state != "idle"
        }

    async def close(self) -> None:
        await asyncio.gather(*(model.close() for _, model in self._models()))

    def _models(self) -> "list[tuple[str, LocalChat | LocalEmbedder]]":
        both = ((LOCAL, self.chat), (LOCAL_EMBEDDING, self.embedding))
        return [(name, model) for name, model in both if model is not None]


class SharedModels:
    """Loaded once in a process of their own (`api/model_process.py`), which this one reaches over a Unix socket."""

    def __init__(self, settings: Settings, *, socket: Path, ids: Ids, client: Client, clock: Clock) -> None:
        # Made only to know what there is: making them loads nothing.
        own = OwnModels(settings, ids=ids)
        self.notes = own.notes
        self._client = client
        self._clock = clock
        self._origin = Origin("unix", str(socket))

        def remote(name: str) -> "OpenAICompatible":
            from undercroft.providers.openai_compatible import OpenAICompatible

            return OpenAICompatible(
                LOCAL, base_url=f"unix:{socket}", api_key=None, model=name, client=client, clock=clock
            )

        self.chat = remote(LOCAL) if own.chat else None
        self.embedding = remote(LOCAL_EMBEDDING) if own.embedding else None
        self._states: Mapping[str, str] = {LOCAL: "loading"} if own.chat else {}
        self._poll: asyncio.Task[None] | None = None

    def start(self, *, chat: bool, embedding: bool) -> None:
        """The other process has the same configuration and decides for itself what to load; here we only watch it."""
        if (chat or embedding) and self._poll is None:
            self._poll = asyncio.create_task(self._watch())

    def states(self) -> Mapping[str, str]:
        return self._states if self._poll is not None else {}

    async def close(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poll

    async def _watch(self) -> None:
        head = request_head("GET", "/health", host="localhost", fields={})
        while True:
            try:
                answer = await self._client.send(self._origin, head, b"", first_byte_s=POLL_S)
                self._states = msgspec.json.decode(await answer.body(STATES_LIMIT_BYTES), type=dict[str, str])
            except UndercroftError as error:
                self._states = {LOCAL: f"the model process does not answer: {error.message}"}
            await self._clock.sleep(POLL_S)


@contextlib.asynccontextmanager
async def bundled_models(settings: Settings, process: Process) -> AsyncIterator[BundledModels]:
    """Closed when the block ends. Nothing is loaded before `start`, or the first call."""
    async with contextlib.AsyncExitStack() as stack:
        models: BundledModels
        if process.shared is None:
            models = OwnModels(settings, ids=process.ids)
        else:
            client = Client(limits=settings.egress, clock=process.clock)
            stack.push_async_callback(client.close)
            socket = process.shared.models
            models = SharedModels(settings, socket=socket, ids=process.ids, client=client, clock=process.clock)
        stack.push_async_callback(models.close)
        yield models


def uses(settings: Settings, provider: str) -> bool:
    """Whether the configuration names this provider."""
    return any(deployment.provider == provider for model in settings.models for deployment in model.deployments)


def has_something_to_answer_with(settings: Settings) -> bool:
    """Whether any model can answer: a configured one, a provider's whose key is set, or a bundled one."""
    local = settings.local
    return bool(
        settings.models or settings.provider_keys or local.chat_gguf or locate(local.models_dir, settings.data_dir)
    )


def _embedding(settings: Settings, weights: Weights) -> "LocalEmbedder":
    # Imported where there are weights: most installations have none, and a function never has.
    from undercroft.providers.local.embedder import LocalEmbedder

    local = settings.local
    return LocalEmbedder(
        weights.embedder,
        weights.tokenizer,
        queue=local.queue,
        threads=local.threads,
        load_timeout_s=local.load_timeout_s,
    )


def _chat(settings: Settings, gguf: Path, *, ids: Ids) -> "LocalChat":
    # As the embedder.
    from undercroft.providers.local.chat import QUALITY, LocalChat
    from undercroft.providers.local.dialect import DEFAULT_SYSTEM_PROMPT

    local = settings.local
    is_own = local.chat_gguf is not None
    return LocalChat(
        gguf,
        label=gguf.stem if is_own else LABEL,
        # A model of the operator's own gets neither our label nor our system prompt.
        quality=None if is_own else QUALITY,
        system_prompt=None if is_own else DEFAULT_SYSTEM_PROMPT,
        slots=local.slots,
        queue=local.queue,
        context_tokens=local.context_tokens,
        threads=local.threads,
        load_timeout_s=local.load_timeout_s,
        ids=ids,
    )
