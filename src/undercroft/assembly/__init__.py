"""The only place that picks implementations: builds everything, and takes it down in reverse order.

`lasting` has what a server consists of, `configuration` what is made anew of each configuration, `undercroft` what
comes of both; `installation` replaces one configuration by another.
"""

import contextlib
from collections.abc import AsyncIterator

from undercroft.access.doors import Bind
from undercroft.assembly.configuration import configured
from undercroft.assembly.installation import Installation
from undercroft.assembly.lasting import lasting_parts
from undercroft.assembly.process import Process, Shared
from undercroft.assembly.reloads import Reload, nothing_to_read
from undercroft.assembly.retention import retaining
from undercroft.assembly.undercroft import Undercroft
from undercroft.clock import Clock, SystemClock
from undercroft.ids import Ids
from undercroft.settings.model import Settings

__all__ = ["Installation", "Shared", "Undercroft", "assemble", "installed"]


@contextlib.asynccontextmanager
async def assemble(
    settings: Settings,
    *,
    bind: Bind = "loopback",
    clock: Clock | None = None,
    shared: Shared | None = None,
    log_calls: bool = True,
) -> AsyncIterator[Undercroft]:
    """Everything, running, for as long as the block lasts. Raises ConfigurationError and Unavailable.

    The database is opened beside it: `Undercroft.link` says when it is there.
    """
    installing = installed(settings, bind=bind, clock=clock, shared=shared, log_calls=log_calls)
    async with installing as installation:
        yield installation.current


@contextlib.asynccontextmanager
async def installed(
    settings: Settings,
    *,
    bind: Bind = "loopback",
    clock: Clock | None = None,
    shared: Shared | None = None,
    log_calls: bool = True,
    generation: int = 1,
    reload: Reload | None = None,
    is_frozen: bool = False,
) -> AsyncIterator[Installation]:
    """As `assemble`, with a configuration that can be replaced. `reload` is what management calls for that.

    `is_frozen` promises nothing between requests, as hosts of functions do: then nothing runs by itself, and whoever
    passes requests on calls `DatabaseLink.refresh` before each and `FanOut.durable` before each answer ends.
    """
    clock = clock or SystemClock()
    process = Process(bind=bind, clock=clock, ids=Ids(clock), shared=shared, log_calls=log_calls, is_frozen=is_frozen)
    async with contextlib.AsyncExitStack() as stack:
        parts = lasting_parts(settings, process, generation=generation, reload=reload or nothing_to_read)
        lasting = await stack.enter_async_context(parts)
        installation = Installation(lasting, await configured(lasting, settings))
        stack.push_async_callback(installation.close)
        await stack.enter_async_context(lasting.offices.running(is_frozen=is_frozen))
        link, ids = lasting.registry.link, process.ids
        await stack.enter_async_context(retaining(settings.retention, link, ids=ids, clock=clock, is_frozen=is_frozen))
        yield installation
