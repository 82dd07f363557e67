"""What has work of its own to do, beside calls or later: events, releases, files, jobs, vector stores, batches,
responses."""

import contextlib
from collections.abc import AsyncIterator

import msgspec

from undercroft.assembly.batches import BatchOffice
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.events import EventDesk
from undercroft.assembly.files import FileOffice
from undercroft.assembly.jobs import JobOffice, limits_of
from undercroft.assembly.knowledge import KnowledgeOffice
from undercroft.assembly.process import Process
from undercroft.assembly.releases import ReleaseOffice
from undercroft.assembly.responses import ResponseDesk
from undercroft.assembly.telemetry import Telemetry
from undercroft.assembly.vectors import Vectors
from undercroft.settings.model import Settings


class Offices(msgspec.Struct, frozen=True, eq=False):
    """For as long as the process lasts."""

    events: EventDesk
    releases: ReleaseOffice
    files: FileOffice
    jobs: JobOffice
    knowledge: KnowledgeOffice
    batches: BatchOffice
    responses: ResponseDesk

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool) -> AsyncIterator[None]:
        """Works for as long as the block lasts; whoever hands work to another ends before it."""
        async with (
            self.responses.running(),
            self.events.running(),
            self.files.running(is_frozen=is_frozen),
            self.knowledge.running(is_frozen=is_frozen),
            self.jobs.running(is_frozen=is_frozen),
            self.batches.running(is_frozen=is_frozen),
            self.releases.running(is_frozen=is_frozen),
        ):
            yield


def offices_of(
    settings: Settings,
    process: Process,
    link: DatabaseLink,
    *,
    events: EventDesk,
    releases: ReleaseOffice,
    vectors: Vectors,
    telemetry: Telemetry,
) -> Offices:
    """Raises ConfigurationError for modules, kinds of jobs and cron lines that cannot be used."""
    clock, ids = process.clock, process.ids
    files = FileOffice(settings, link=link, ids=ids, clock=clock)
    jobs = JobOffice(settings, link=link, events=events, book=releases.book, ids=ids, telemetry=telemetry, clock=clock)
    knowledge = KnowledgeOffice(
        settings,
        link=link,
        vectors=vectors,
        files=files,
        jobs=jobs,
        limits=limits_of(settings.jobs),
        ids=ids,
        clock=clock,
    )
    batches = BatchOffice(settings, link=link, files=files, jobs=jobs, events=events, ids=ids, clock=clock)
    responses = ResponseDesk(settings.responses, link=link, ids=ids, clock=clock, is_frozen=process.is_frozen)
    return Offices(events, releases, files, jobs, knowledge, batches, responses)
