"""Models that passages are embedded with: the bundled one for commands, whatever the gateway reaches for servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from undercroft.errors import ConfigurationError, MissingExtra
from undercroft.llm.types import EmbeddingsRequest
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.vectors.ingestion.chunking import Span, Tokens
    from undercroft.vectors.ingestion.embedding import Embed, Model
    from undercroft.vectors.types import Vector

LOCAL_EMBEDDING: Final = "local-embedding"
BUNDLED_TOKENS: Final = 510
"""The bundled model's 512 positions without the two that stand around every text."""
BUNDLED_BEST: Final = 256
"""What it was trained on (`providers/local/embedder.py`)."""
USUAL_TOKENS: Final = 8000
"""What other models take: OpenAI's take 8191, and our count is an estimate."""
USUAL_BEST: Final = 800
"""OpenAI's own choice for its vector stores."""


def model_named(name: str, embed: "Embed", *, settings: Settings, is_bundled: bool) -> "Model":
    """The model's name with what is known of how it counts. Raises MissingExtra."""
    from undercroft.vectors.ingestion.chunking import estimated_tokens
    from undercroft.vectors.ingestion.embedding import Model

    if not is_bundled:
        return Model(name, embed, estimated_tokens, longest=USUAL_TOKENS, best=USUAL_BEST)
    return Model(name, embed, bundled_tokens(settings), longest=BUNDLED_TOKENS, best=BUNDLED_BEST)


def bundled_tokens(settings: Settings) -> "Tokens":
    """How the bundled embedding model counts. Raises ConfigurationError where it is not installed."""
    from undercroft.providers.local import weights

    found = weights.locate(settings.local.models_dir, settings.data_dir)
    if found is None:
        raise _not_installed()
    return tokens_of(found.tokenizer)


def tokens_of(tokenizer: Path) -> "Tokens":
    """A tokenizer's own count, without what it puts around a text."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra("Counting tokens", extra="local") from error
    words = Tokenizer.from_file(str(tokenizer))
    words.no_truncation()
    words.no_padding()

    def spans(text: str, /) -> "Sequence[Span]":
        return [(start, end) for start, end in words.encode(text, add_special_tokens=False).offsets if end > start]

    return spans


@contextlib.asynccontextmanager
async def bundled_model(settings: Settings) -> "AsyncIterator[Model]":
    """The bundled embedding model in this process, for as long as the block lasts. Raises ConfigurationError."""
    from undercroft.providers.local import weights
    from undercroft.providers.local.embedder import LocalEmbedder
    from undercroft.vectors.types import vector_of

    found = weights.locate(settings.local.models_dir, settings.data_dir)
    if found is None:
        raise _not_installed()
    embedder = LocalEmbedder(found.embedder, found.tokenizer)

    async def embed(texts: Sequence[str], /) -> "list[Vector[float]]":
        reply = await embedder.embed(EmbeddingsRequest(model=LOCAL_EMBEDDING, inputs=tuple(texts)))
        assert reply.whole is not None
        return [vector_of(vector) for vector in reply.whole.vectors]

    try:
        yield await asyncio.to_thread(model_named, LOCAL_EMBEDDING, embed, settings=settings, is_bundled=True)
    finally:
        await embedder.close()


def _not_installed() -> ConfigurationError:
    return ConfigurationError(
        "Texts need the bundled embedding model, and it is not installed.", hint="Type: undercroft models pull"
    )
