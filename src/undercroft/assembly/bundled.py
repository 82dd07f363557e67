"""The bundled models as part of a running server: made where the weights are, loaded when they are needed."""

import asyncio
from pathlib import Path

from undercroft.errors import ConfigurationError
from undercroft.ids import Ids
from undercroft.providers.local.chat import QUALITY, LocalChat
from undercroft.providers.local.dialect import DEFAULT_SYSTEM_PROMPT
from undercroft.providers.local.embedder import LocalEmbedder
from undercroft.providers.local.weights import locate
from undercroft.settings.model import Settings

BUNDLED_LABEL = "undercroft-local"


class BundledModels:
    """`local` and `local-embedding`, or neither where no weights are installed. Nothing is loaded by making this."""

    def __init__(self, settings: Settings, *, ids: Ids) -> None:
        local = settings.local
        weights = locate(local.models_dir, settings.data_dir)
        gguf = local.chat_gguf or (weights.chat if weights else None)
        self.chat = _chat(settings, gguf, ids=ids) if gguf else None
        self.embedding: LocalEmbedder | None = None
        if weights is not None:
            self.embedding = LocalEmbedder(
                weights.embedder,
                weights.tokenizer,
                queue=local.queue,
                threads=local.threads,
                load_timeout_s=local.load_timeout_s,
            )

    def start(self, *, chat: bool, embedding: bool) -> None:
        """Begins to load what will be asked for; the rest loads with its first call."""
        if chat and self.chat is not None:
            self.chat.start()
        if embedding and self.embedding is not None:
            self.embedding.start()

    async def close(self) -> None:
        await asyncio.gather(*(model.close() for model in (self.chat, self.embedding) if model is not None))

    def require_chat(self) -> LocalChat:
        """For a deployment that names it. Raises ConfigurationError where the weights are missing."""
        if self.chat is None:
            raise _missing()
        return self.chat

    def require_embedding(self) -> LocalEmbedder:
        if self.embedding is None:
            raise _missing()
        return self.embedding

    def states(self) -> dict[str, str]:
        """`ok`, `loading`, or what went wrong, of each model that has begun to load."""
        states = {}
        for name, model in (("local", self.chat), ("local-embedding", self.embedding)):
            if model is not None and model.state != "idle":
                states[name] = "ok" if model.state == "ready" else model.state
        return states


def _chat(settings: Settings, gguf: Path, *, ids: Ids) -> LocalChat:
    local = settings.local
    is_own = local.chat_gguf is not None
    return LocalChat(
        gguf,
        label=gguf.stem if is_own else BUNDLED_LABEL,
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


def _missing() -> ConfigurationError:
    return ConfigurationError("The bundled model's weights are not installed.", hint="Type: undercroft models pull")
