"""What `undercroft models` does: which models there are, and whether the bundled ones' weights are there and whole."""

import sys
from collections.abc import Callable
from pathlib import Path

from undercroft.assembly.bundled import has_something_to_answer_with
from undercroft.providers.local import weights
from undercroft.providers.local.chat import QUALITY
from undercroft.providers.local.embedder import DIMENSIONS, MOST_TOKENS
from undercroft.providers.local.engine import check_gguf
from undercroft.providers.rules import LABEL as RULES
from undercroft.providers.rules import QUALITY as QUALITY_OF_RULES
from undercroft.settings.model import LOCAL_MODELS, Settings


def listed(settings: Settings) -> list[dict[str, object]]:
    """A row for each name that callers may ask for: the configured models, then the bundled ones."""
    rows: list[dict[str, object]] = [
        {
            "model": model.name,
            "answered_by": ", ".join(f"{each.provider}/{each.model or model.name}" for each in model.deployments),
            "status": "configured",
            "notes": "",
        }
        for model in settings.models
    ]
    chat, embedding, moderation = LOCAL_MODELS
    found = weights.locate(settings.local.models_dir, settings.data_dir)
    own = settings.local.chat_gguf
    installed = "installed" if found else "not installed (undercroft models pull)"
    context = f"context {settings.local.context_tokens // settings.local.slots}"
    rows.append(
        {
            "model": chat,
            "answered_by": own.name if own else weights.CHAT.rpartition("/")[2],
            "status": "configured" if own else installed,
            "notes": context if own else f"{QUALITY}, {context}",
        }
    )
    rows.append(
        {
            "model": embedding,
            "answered_by": weights.GRAPH,
            "status": installed,
            "notes": f"{DIMENSIONS} dimensions, context {MOST_TOKENS}",
        }
    )
    rows.append({"model": moderation, "answered_by": RULES, "status": "installed", "notes": QUALITY_OF_RULES})
    return rows


def faults(settings: Settings) -> list[str]:
    """What is wrong with the local models' files, by full hash; empty: nothing."""
    wrong = []
    places = weights.folders(settings.local.models_dir, settings.data_dir)
    found = weights.locate(settings.local.models_dir, settings.data_dir)
    folder = found.folder if found else next((each for each in places if each.is_dir()), None)
    if folder is None:
        wrong.append("the bundled models are not installed; type: undercroft models pull")
    else:
        wrong += [f"{folder}: {fault}" for fault in weights.verify(folder)]
    if settings.local.chat_gguf is not None:
        try:
            check_gguf(settings.local.chat_gguf)
        except (OSError, ValueError) as error:
            wrong.append(str(error))
    return wrong


def pull(settings: Settings, into: Path | None, progress: Callable[[str], None]) -> Path:
    """Fetches the bundled models' weights to where the server finds them. Raises Unavailable."""
    found = weights.locate(settings.local.models_dir, settings.data_dir)
    folder = into or settings.local.models_dir or (found.folder if found else weights.cache_folder())
    weights.pull(folder, progress)
    return folder


def fetch_models(settings: Settings) -> None:
    """Fetches the bundled models' weights (176 MB, once for this user) where nothing else could answer.

    For programs that are to answer without a provider's key, before they open their port; says on stderr what it does.
    Raises Unavailable where no package index can be reached.
    """
    if not has_something_to_answer_with(settings):
        pull(settings, None, lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201 - that is its job
