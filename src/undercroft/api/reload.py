"""Reading the configuration again: by a server that is one process, and by a worker, whose supervisor reads it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from undercroft.api.control import Report, State, talking_to_supervisor
from undercroft.assembly.reloads import Reloads
from undercroft.errors import ConfigurationError, ConfigurationRefused, Unavailable
from undercroft.settings.model import Settings
from undercroft.settings.restart import needs_restart
from undercroft.settings.sources import Loaded, Source
from undercroft.settings.transfer import unpack
from undercroft.telemetry.logs import get_logger


class Process(Protocol):
    """The process whose configuration is replaced."""

    settings: Settings

    @property
    def reloads(self) -> Reloads: ...

    async def put_in_force(self, settings: Settings, *, generation: int) -> None:
        """Raises ConfigurationError, and has then changed nothing."""
        ...


class Reloading(Protocol):
    """What SIGHUP and the management API do."""

    async def here(self, process: Process) -> None:
        """SIGHUP came: sees to this process."""
        ...

    async def everywhere(self, process: Process) -> None:
        """Sees to all processes of the server. Raises ConfigurationRefused."""
        ...


class OwnReloading:
    """The process reads for itself: it is the only one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._one_at_a_time = asyncio.Lock()
        self._logger = get_logger("undercroft.configuration")

    async def here(self, process: Process) -> None:
        with suppress(ConfigurationRefused):  # logged, and to be seen in /health
            await self.everywhere(process)

    async def everywhere(self, process: Process) -> None:
        async with self._one_at_a_time:
            generation = process.reloads.generation + 1
            try:
                loaded = await read_anew(self._source, process.settings)
                await process.put_in_force(loaded.settings, generation=generation)
            except ConfigurationError as error:
                process.reloads.refused(str(error))
                tell_refused(self._logger, str(error))
                raise ConfigurationRefused(str(error)) from error
            tell_applied(self._logger, generation, loaded)


class WorkerReloading:
    """The supervisor reads; it says by SIGHUP that there is news, which it hands out at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._one_at_a_time = asyncio.Lock()
        self._seen = 0

    async def here(self, process: Process) -> None:
        async def apply(state: State) -> None:
            if state.generation != process.reloads.generation:
                await process.put_in_force(unpack(bytes(state.settings)), generation=state.generation)
            if state.refusal and state.edition != self._seen:
                process.reloads.refused(state.refusal)
            self._seen = state.edition

        async with self._one_at_a_time:
            await follow(self._path, apply)

    async def everywhere(self, process: Process) -> None:
        async with talking_to_supervisor(self._path) as wire:
            outcome = await wire.reload()
        if outcome.refusal:
            raise ConfigurationRefused(outcome.refusal)


async def follow(path: Path, apply: Callable[[State], Awaitable[None]], *, pid: int | None = None) -> None:
    """Asks the supervisor for news, and reports what became of them. Raises Unavailable when it is gone."""
    async with talking_to_supervisor(path, pid=pid) as wire:
        state = await wire.news()
        failure = ""
        try:
            await apply(state)
        except ConfigurationError as error:
            failure = str(error)
        await wire.report(Report(edition=state.edition, failure=failure))


async def read_anew(source: Source, running: Settings) -> Loaded:
    """What is written now, if this server can change to it. Raises ConfigurationError."""
    try:
        loaded = await asyncio.to_thread(source.load)
    except Unavailable as error:  # stored secrets that it names cannot be read now
        raise ConfigurationError(str(error)) from error
    if lines := needs_restart(running, loaded):
        raise ConfigurationError("\n".join(lines))
    return loaded


def tell_applied(logger: Any, generation: int, loaded: Loaded) -> None:
    """The one line of a reload, and those about what is odd in the configuration."""
    logger.info("configuration_reloaded", generation=generation, models=len(loaded.settings.models))
    for warning in loaded.warnings:
        logger.warning("configuration_warning", reason=warning)


def tell_refused(logger: Any, reason: str) -> None:
    """The one line of a reload that changed nothing."""
    logger.error("configuration_refused", reason=reason)
