"""The bundled models, where their weights are installed: found as the product finds them."""

import os
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from undercroft.ids import Ids
from undercroft.providers.local.chat import LocalChat
from undercroft.providers.local.embedder import LocalEmbedder
from undercroft.providers.local.weights import Weights, locate


def weights() -> Weights:
    """Skips the test where there are none; `make test` puts them into the checkout's .venv."""
    chosen = os.environ.get("UNDERCROFT_MODELS_DIR")
    found = locate(Path(chosen) if chosen else None, Path(".undercroft"))
    if found is None:
        pytest.skip("the bundled weights are not installed: undercroft models pull")
    return found


def small_chat(*, slots: int = 2, queue: int = 16, context_tokens: int = 2048) -> LocalChat:
    """The bundled chat model with a small context, for its memory's sake."""
    return LocalChat(
        weights().chat,
        label="undercroft-local",
        slots=slots,
        queue=queue,
        context_tokens=context_tokens,
        ids=Ids(ManualClock()),
    )


def embedder(*, queue: int = 16) -> LocalEmbedder:
    found = weights()
    return LocalEmbedder(found.embedder, found.tokenizer, queue=queue)
