"""What is made of a configuration, around what lasts: made anew whenever another one is put in force."""

import contextlib
import random

import msgspec

from undercroft.assembly.access import door_of
from undercroft.assembly.file_search import FileSearch
from undercroft.assembly.gateway import gateway_of
from undercroft.assembly.lasting import Lasting
from undercroft.assembly.models import ModelBuilder
from undercroft.assembly.release_stages import judge_of
from undercroft.assembly.reloads import UnderWay
from undercroft.assembly.responses import Responses
from undercroft.assembly.undercroft import Undercroft
from undercroft.assembly.upstreams import checking
from undercroft.egress.client import Client
from undercroft.gateway.gateway import Gateway
from undercroft.settings.model import Settings

OUTLASTED = "The configuration was replaced, and this answer took longer than [server] shutdown_grace_s to end."


class Configured(msgspec.Struct, frozen=True, eq=False):
    """An undercroft with what must be closed when it is no longer needed."""

    undercroft: Undercroft
    stack: contextlib.AsyncExitStack


async def configured(lasting: Lasting, settings: Settings) -> Configured:
    """Not in force yet. Raises ConfigurationError, and has then left nothing."""
    process = lasting.process
    rng = random.Random()  # noqa: S311 - spreads load and jitters waits
    async with contextlib.AsyncExitStack() as stack:
        client = Client(limits=settings.egress, clock=process.clock)
        stack.push_async_callback(client.close, OUTLASTED)
        catalogue = ModelBuilder(
            settings,
            bundled=lasting.bundled,
            client=client,
            prices=lasting.books.prices,
            clock=process.clock,
            rng=rng,
            on_change=lasting.offices.events.upstream_changed,
            stored=lasting.registry.access.vault.text,
        ).catalogue()
        if not process.is_frozen:
            await stack.enter_async_context(checking(settings, catalogue, clock=process.clock, rng=rng))
        judge = judge_of(settings, lasting.offices.releases, lasting.stores.vectors, is_frozen=process.is_frozen)
        gateway = gateway_of(lasting, settings, catalogue, judge=judge, rng=rng)
        stack.push_async_callback(gateway.mirror.close)
        if judge is not None:
            await stack.enter_async_context(judge.running(gateway))
        return Configured(_undercroft(lasting, settings, gateway, client), stack.pop_all())


def _undercroft(lasting: Lasting, settings: Settings, gateway: Gateway, client: Client) -> Undercroft:
    process, registry, books = lasting.process, lasting.registry, lasting.books
    stores, offices, telemetry = lasting.stores, lasting.offices, lasting.telemetry
    under_way = UnderWay()
    responses = Responses(
        settings,
        desk=offices.responses,
        gateway=gateway,
        search=FileSearch(offices.knowledge, tracing=telemetry.tracing),
        under_way=under_way,
        clock=process.clock,
    )
    return Undercroft(
        settings=settings,
        clock=process.clock,
        ids=process.ids,
        door=door_of(settings, process.bind),
        keys=registry.keys,
        access=registry.access,
        gateway=gateway,
        responses=responses,
        jobs=offices.jobs,
        events=offices.events,
        files=offices.files,
        batches=offices.batches,
        releases=offices.releases,
        vectors=stores.vectors,
        knowledge=offices.knowledge,
        answers=stores.answers,
        contents=stores.contents,
        metrics=telemetry.metrics,
        telemetry=telemetry,
        limits=registry.limits,
        link=registry.link,
        bundled=lasting.bundled,
        keeper=books.keeper,
        recorder=books.recorder,
        client=client,
        under_way=under_way,
        reloads=lasting.reloads,
        reload=lasting.reload,
    )
