import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from tests.support.ingestion import DIMENSION, CountedModel, bag_of_words, sqlite
from tests.support.memory_vectors import MemoryStore
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest, Unavailable
from undercroft.ids import Ids
from undercroft.storage.engine import Database
from undercroft.vectors.filters import Eq
from undercroft.vectors.ingestion import repository, visible
from undercroft.vectors.ingestion.ingest import AT_ONCE, Ingestor, Superseded
from undercroft.vectors.ingestion.remove import Remover
from undercroft.vectors.ingestion.types import Ingested, Place, Plan, Source, Unreadable
from undercroft.vectors.search import Request
from undercroft.vectors.types import CollectionSpec, Point

PLACE = Place(organisation="default", collection="notes", namespace="n")
PLAN = Plan(strategy="structure", size=8, overlap=0)
LONG = "\n".join(f"# Part {number}\nword{number} stands here" for number in range(AT_ONCE + 20))


class World:
    """A store, a database and a model, and what is asked of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = MemoryStore()
        self.counted = CountedModel()
        clock = SystemClock()
        self.ingestor = Ingestor(database, self.store, self.counted.model, ids=Ids(clock), clock=clock)
        self.remover = Remover(database, self.store)

    async def ingest(self, text: str, *, id: str = "a", name: str = "a.md", **attributes: str) -> Ingested:
        source = Source(id=id, name=name, content=text.encode(), attributes=attributes)
        return await self.ingestor.ingest(PLACE, source, PLAN)

    async def found(self, text: str, *, limit: int = 100, where: Eq | None = None) -> list[str]:
        request = Request(vector=bag_of_words(text), limit=limit, where=where)
        hits = await visible.search(self.store, self.database, PLACE, request)
        return sorted(each.hit.text or "" for each in hits)

    async def points(self) -> int:
        return await self.store.count("notes", namespace="n")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = sqlite(tmp_path_factory.mktemp("database"))
    yield opened
    opened.close()


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    yield World(database)
    database.write_sync(lambda connection: repository.forget(connection, PLACE))


def run(world: World, test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await world.store.create(CollectionSpec(name="notes", dimension=DIMENSION))
        await test()

    asyncio.run(whole())


def test_a_file_is_found_by_what_it_says(world: World) -> None:
    async def test() -> None:
        ingested = await world.ingest("# One\nthe tide comes\n# Two\nthe moon goes", lang="en")
        assert (ingested.chunks, ingested.embedded, ingested.is_unchanged) == (2, 2, False)
        assert await world.found("tide", limit=1) == ["the tide comes"]
        assert await world.found("tide", where=Eq("lang", "de")) == []
        assert world.counted.asked == ["One\nthe tide comes", "Two\nthe moon goes"]

    run(world, test)


def test_unchanged_chunks_are_not_embedded_again(world: World) -> None:
    async def test() -> None:
        await world.ingest("# One\nthe tide comes\n# Two\nthe moon goes")
        ingested = await world.ingest("# One\nthe tide comes\n# Two\nthe sun goes")
        assert ingested.embedded == 1
        assert world.counted.asked[2:] == ["Two\nthe sun goes"]
        assert await world.found("goes") == ["the sun goes", "the tide comes"]
        assert await world.points() == 2

    run(world, test)


def test_the_same_file_again_is_left_as_it_is(world: World) -> None:
    async def test() -> None:
        first = await world.ingest("the tide comes")
        again = await world.ingest("the tide comes")
        assert again.is_unchanged
        assert (again.chunks, again.tokens, again.text_bytes) == (first.chunks, first.tokens, first.text_bytes)
        assert len(world.counted.asked) == 1

    run(world, test)


def test_other_attributes_alone_take_no_embedding(world: World) -> None:
    async def test() -> None:
        await world.ingest("the tide comes", lang="en")
        await world.ingest("the tide comes", lang="de")
        assert len(world.counted.asked) == 1
        assert await world.found("tide", where=Eq("lang", "en")) == []
        assert await world.found("tide", where=Eq("lang", "de")) == ["the tide comes"]

    run(world, test)


def test_a_removed_file_leaves_nothing(world: World) -> None:
    async def test() -> None:
        await world.ingest("the tide comes")
        await world.ingest("the moon goes", id="b")
        assert await world.remover.remove(PLACE, "a")
        assert await world.found("tide") == ["the moon goes"]
        assert await world.points() == 1
        assert not await world.remover.remove(PLACE, "a")

    run(world, test)


class Dying(MemoryStore):
    """Breaks down at the upsert after some."""

    def __init__(self, *, after: int) -> None:
        super().__init__()
        self.left = after

    async def upsert(self, collection: str, points: Sequence[Point], *, namespace: str = "") -> None:
        if self.left == 0:
            raise Unavailable("The store is away.")
        self.left -= 1
        await super().upsert(collection, points, namespace=namespace)


def dying(world: World, *, after: int) -> Dying:
    world.store = store = Dying(after=after)
    clock = SystemClock()
    world.ingestor = Ingestor(world.database, store, world.counted.model, ids=Ids(clock), clock=clock)
    world.remover = Remover(world.database, store)
    return store


def test_a_half_ingested_file_is_not_seen_and_goes_on_where_it_broke_off(world: World) -> None:
    store = dying(world, after=1)

    async def test() -> None:
        with pytest.raises(Unavailable):
            await world.ingest(LONG)
        assert await world.points() == AT_ONCE
        assert await world.found("word1 stands here") == []
        store.left = 100
        ingested = await world.ingest(LONG)
        assert ingested.chunks == AT_ONCE + 20
        assert ingested.embedded == 20
        assert len(await world.found("word1 stands here")) == AT_ONCE + 20
        assert await world.points() == AT_ONCE + 20

    run(world, test)


def test_while_a_file_is_taken_in_anew_the_former_is_found_whole(world: World) -> None:
    store = dying(world, after=100)

    async def test() -> None:
        await world.ingest(LONG)
        store.left = 1
        with pytest.raises(Unavailable):
            await world.ingest(LONG.replace("stands here", "lies there"))
        assert all("stands here" in text for text in await world.found("word1 lies there"))
        assert len(await world.found("word1 lies there", limit=10)) == 10, "as many as were asked for"

    run(world, test)


def test_who_began_earlier_does_not_overwrite_who_began_later(world: World) -> None:
    async def test() -> None:
        source = Source(id="a", name="a.md", content=b"the tide comes")
        other = "the moon goes"

        async def embed_slowly(texts: Sequence[str]) -> object:
            await world.ingest(other)
            return [bag_of_words(text) for text in texts]

        clock = SystemClock()
        from tests.support.ingestion import words
        from undercroft.vectors.ingestion.embedding import Model

        slow = Model("counted", embed_slowly, words, longest=1000, best=50)  # type: ignore[arg-type]
        ingestor = Ingestor(world.database, world.store, slow, ids=Ids(clock), clock=clock)
        with pytest.raises(Superseded):
            await ingestor.ingest(PLACE, source, PLAN)
        assert await world.found("tide") == ["the moon goes"]
        assert await world.points() == 1

    run(world, test)


def test_what_was_left_behind_is_tidied_up(world: World) -> None:
    async def test() -> None:
        await world.ingest("the tide comes")
        await world.database.write(lambda connection: repository.hide(connection, PLACE, "a"))
        assert await world.found("tide") == []
        assert await world.points() == 1, "the process died before it deleted them"
        await world.remover.tidy(PLACE)
        assert await world.points() == 0
        assert await world.database.read(lambda connection: repository.find(connection, PLACE, "a")) is None

    run(world, test)


def test_a_poisoned_file_changes_nothing(world: World) -> None:
    async def test() -> None:
        await world.ingest("the tide comes")
        with pytest.raises(Unreadable):
            await world.ingest("\0\0", name="a.txt")
        assert await world.found("tide") == ["the tide comes"]

    run(world, test)


def test_attributes_cannot_take_our_fields(world: World) -> None:
    async def test() -> None:
        with pytest.raises(InvalidRequest, match="_generation"):
            await world.ingest("the tide comes", _generation="x")

    run(world, test)


def test_points_that_were_not_ingested_are_always_seen(world: World) -> None:
    async def test() -> None:
        point = Point(id="own", vector=bag_of_words("tide"), text="my own tide")
        await world.store.upsert("notes", [point], namespace="n")
        await world.ingest("the tide comes")
        assert await world.found("tide") == ["my own tide", "the tide comes"]

    run(world, test)
