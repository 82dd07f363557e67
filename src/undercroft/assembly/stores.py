"""What is kept for calls besides the ledger: vectors, answers that are given again, contents."""

import contextlib
from collections.abc import AsyncIterator

import msgspec

from undercroft.assembly.bundled import BundledModels
from undercroft.assembly.cache import Answers
from undercroft.assembly.contents import ContentDesk
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.process import Process
from undercroft.assembly.telemetry import Telemetry
from undercroft.assembly.vectors import Vectors
from undercroft.settings.model import Settings


class Stores(msgspec.Struct, frozen=True, eq=False):
    """For as long as the process lasts."""

    vectors: Vectors
    answers: Answers
    contents: ContentDesk


@contextlib.asynccontextmanager
async def opened_stores(
    settings: Settings, process: Process, link: DatabaseLink, *, bundled: BundledModels, telemetry: Telemetry
) -> AsyncIterator[Stores]:
    """Raises ConfigurationError for a cache that cannot be used."""
    clock = process.clock
    async with contextlib.AsyncExitStack() as stack:
        vectors = Vectors(settings, metrics=telemetry.metrics, tracing=telemetry.tracing, clock=clock)
        stack.push_async_callback(vectors.close)
        answers = Answers(settings, link=link, embedder=bundled.embedding, clock=clock)
        stack.push_async_callback(answers.close)
        contents = ContentDesk(settings.ledger, link=link, clock=clock, is_frozen=process.is_frozen)
        await stack.enter_async_context(contents.running())
        yield Stores(vectors, answers, contents)
