"""An undercroft of one's own to evaluate with: for the command line and for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from undercroft.assembly import assemble
from undercroft.assembly.evaluation import Bench
from undercroft.record import Who
from undercroft.settings.model import Settings


@asynccontextmanager
async def benched(settings: Settings) -> AsyncIterator[Bench]:
    """A bench over an undercroft of its own, for as long as the block lasts."""
    # What evaluates does not do the jobs of the server whose folder it runs in.
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"role": "gateway"})})
    async with assemble(settings, log_calls=False) as undercroft:
        await undercroft.keys_known()
        yield Bench(
            undercroft.gateway,
            settings=settings,
            book=undercroft.releases.book,
            who=Who(),
            ids=undercroft.ids,
            clock=undercroft.clock,
            store=undercroft.vectors.store,
        )
