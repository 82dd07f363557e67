"""What a server consists of, whatever its configuration becomes: made, begun, and ended in reverse order."""

import contextlib
from collections.abc import AsyncIterator

import msgspec

from undercroft.assembly.bookkeeping import Bookkeeping, bookkeeping
from undercroft.assembly.bundled import BundledModels, bundled_models
from undercroft.assembly.events import EventDesk
from undercroft.assembly.offices import Offices, offices_of
from undercroft.assembly.process import Process
from undercroft.assembly.recorder import FanOut
from undercroft.assembly.registry import Registry, registry_of
from undercroft.assembly.releases import ReleaseOffice
from undercroft.assembly.reloads import Reload, Reloads
from undercroft.assembly.shipping import keeper
from undercroft.assembly.stores import Stores, opened_stores
from undercroft.assembly.telemetry import Telemetry, observing
from undercroft.assembly.upstreams import UpstreamMetrics
from undercroft.settings.model import Settings


class Lasting(msgspec.Struct, frozen=True, eq=False):
    """What lives as long as the process."""

    process: Process
    registry: Registry
    bundled: BundledModels
    telemetry: Telemetry
    stores: Stores
    books: Bookkeeping
    offices: Offices
    upstreams: UpstreamMetrics
    reloads: Reloads
    reload: Reload


@contextlib.asynccontextmanager
async def lasting_parts(
    settings: Settings, process: Process, *, generation: int, reload: Reload
) -> AsyncIterator[Lasting]:
    """All but the offices run for as long as the block lasts. Raises ConfigurationError and MissingExtra."""
    clock, ids, is_frozen = process.clock, process.ids, process.is_frozen
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        registry = registry_of(settings, process)
        link = registry.link
        kept = keeper(settings, link, ids=ids, clock=clock)
        stack.push_async_callback(kept.close)
        bundled = await enter(bundled_models(settings, process))
        telemetry = await enter(observing(settings, process))
        recorder = FanOut(kept, telemetry.listeners)
        stack.callback(recorder.tell)
        events = EventDesk(settings, link=link, ids=ids, clock=clock, is_frozen=is_frozen)
        metrics = telemetry.metrics
        releases = ReleaseOffice(settings.releases, link=link, events=events, ids=ids, metrics=metrics, clock=clock)
        await enter(link.running(is_frozen=is_frozen))
        await enter(telemetry.watching(link))
        stack.callback(recorder.tell)  # the last traces are kept while the database is still there
        stores = await enter(opened_stores(settings, process, link, bundled=bundled, telemetry=telemetry))
        books = await enter(
            bookkeeping(settings, process, registry, keeper=kept, recorder=recorder, events=events, telemetry=telemetry)
        )
        offices = offices_of(
            settings, process, link, events=events, releases=releases, vectors=stores.vectors, telemetry=telemetry
        )
        yield Lasting(
            process,
            registry,
            bundled,
            telemetry,
            stores,
            books,
            offices,
            upstreams=UpstreamMetrics(metrics),
            reloads=Reloads(generation=generation, metrics=metrics, clock=clock),
            reload=reload,
        )
