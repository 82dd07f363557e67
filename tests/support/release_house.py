"""A gateway with releases, over fakes."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from tests.support.gateway import Bench, FlatRates, Prompter, said
from undercroft.gateway.call import Stage
from undercroft.gateway.gateway import Booking, Checks, Gateway, Releases, Watching
from undercroft.llm.types import ChatRequest, PromptUse
from undercroft.releases.book import Book, Snapshot
from undercroft.releases.traffic import Traffic
from undercroft.telemetry.tracing import Tracing
from undercroft.versions.content import Kind, ModelContent, Version
from undercroft.versions.pinned import Pinned

OLD = Pinned(id="rel_old", alias="support", model=ModelContent(target="chat"))
NEW = Pinned(id="rel_new", alias="support", model=ModelContent(target="next"))


class House:
    """A gateway over two models, `chat` and `next`, and a book. `stages` do what releases pin besides."""

    def __init__(
        self,
        traffic: Traffic | None = None,
        versions: Sequence[Version] = (),
        *,
        answer: Sequence[str] = ("old",),
        guard: Stage | None = None,
        stages: Sequence[Stage] = (),
        sample: Stage | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.first, self.second = Prompter(said(*answer)), Prompter(said("new"))
        self.bench = Bench(self.first, others={"next": self.second})
        self.book = Book()
        self.show(traffic, versions)
        self.gateway = Gateway(
            self.bench.gateway.catalogue,
            booking=Booking(self.bench.recorder, FlatRates()),
            watching=Watching(self.bench.gauge, tracing),
            clock=self.bench.clock,
            rng=self.bench.rng,
            checks=Checks(guard),
            releases=Releases(self.book, stages, sample),
        )

    def show(self, traffic: Traffic | None, versions: Sequence[Version] = ()) -> None:
        by_name: dict[tuple[str, Kind, str], tuple[Version, ...]] = {
            ("default", each.kind, each.name): (each,) for each in versions
        }
        aliases = {} if traffic is None else {("default", "support"): traffic}
        pinned = [] if traffic is None else [OLD, NEW, traffic.stable, traffic.candidate]
        known = {("default", each.id): each for each in pinned if each is not None}
        self.book.replace(Snapshot(traffic=aliases, versions=by_name, releases=known))

    async def ask(
        self,
        model: str,
        *,
        user: str = "",
        prompt: PromptUse | None = None,
        id: str = "req_1",
        said: str = "Hi you",
        stream: bool = True,
    ) -> tuple[str, str]:
        """What was said, and by which release as the ledger has it."""
        call = self.bench.call(model=model, id=id, said=said, stream=stream)
        assert isinstance(call.request, ChatRequest)
        call = replace(call, request=replace(call.request, end_user=user, prompt=prompt))
        text = (await (await self.gateway.send(call)).read()).text()
        ended = [record for record in self.bench.recorder.ended if record.id == id]
        return text, ended[-1].release

    async def mirrored(self) -> None:
        """Returns when the copies have ended."""
        await asyncio.gather(*self.gateway.mirror.under_way)
