"""The configuration in force, and how another one takes its place."""

import asyncio
import gc

from undercroft.assembly.bundled import LOCAL, uses
from undercroft.assembly.configuration import Configured, configured
from undercroft.assembly.lasting import Lasting
from undercroft.assembly.limits import rules_of
from undercroft.assembly.reloads import Reloads
from undercroft.assembly.undercroft import Undercroft
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger


class Installation:
    """The undercroft in force. Another configuration's takes its place; the former one ends with its last call."""

    def __init__(self, lasting: Lasting, first: Configured) -> None:
        self._lasting = lasting
        self._in_force = first
        self.ending: set[asyncio.Task[None]] = set()
        """Former ones that still have something under way."""
        self._reach_out(first.undercroft)

    @property
    def current(self) -> Undercroft:
        return self._in_force.undercroft

    @property
    def reloads(self) -> Reloads:
        return self._lasting.reloads

    async def prepare(self, settings: Settings) -> Configured:
        """The undercroft of other settings, not in force yet. Raises ConfigurationError."""
        return await configured(self._lasting, settings)

    def enforce(self, fresh: Configured, *, generation: int) -> None:
        """From now on `fresh` is the current one; the former one's calls have `shutdown_grace_s` to end."""
        former, self._in_force = self._in_force, fresh
        self._reach_out(fresh.undercroft, former=former.undercroft)
        ending = asyncio.create_task(_end(former))
        self.ending.add(ending)
        ending.add_done_callback(self._ended)
        self.reloads.applied(generation)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        """The parts of a configuration refer to each other: left to the collector's pace, several pile up."""
        self.ending.discard(ending)
        gc.collect()

    async def close(self) -> None:
        """Ends everything that is under way."""
        for ending in self.ending:
            ending.cancel()
        await asyncio.gather(*self.ending, return_exceptions=True)
        await self._in_force.stack.aclose()

    def _reach_out(self, undercroft: Undercroft, *, former: Undercroft | None = None) -> None:
        """Tells what lasts of the configuration."""
        lasting, settings, catalogue = self._lasting, undercroft.settings, undercroft.gateway.catalogue
        lasting.telemetry.metrics.know(catalogue.is_known)
        lasting.upstreams.show(catalogue)
        lasting.books.opened.replace(settings.models)
        lasting.registry.limits.follow(rules_of(settings.limits))
        lasting.offices.responses.answer_with(undercroft.responses)
        lasting.offices.jobs.answer_with(undercroft.gateway, undercroft.responses, undercroft.under_way)
        lasting.offices.events.configure(settings)
        lasting.bundled.start(
            chat=uses(settings, "local") or catalogue.default("chat") == LOCAL,
            embedding=uses(settings, "local_embedding") or settings.cache.semantic,
        )
        if former is not None:
            lasting.telemetry.follow(settings, former.settings)


async def _end(former: Configured) -> None:
    undercroft = former.undercroft
    try:
        async with asyncio.timeout(undercroft.settings.server.shutdown_grace_s):
            await undercroft.under_way.over()
    except TimeoutError:
        get_logger("undercroft.configuration").warning("answers_cut", count=undercroft.under_way.count)
    finally:
        await former.stack.aclose()
