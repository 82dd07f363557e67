import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from tests.support.clock import ManualClock
from tests.support.ingestion import DIMENSION, CountedModel, bag_of_words, sqlite
from tests.support.memory_vectors import MemoryStore
from undercroft.errors import NotFound
from undercroft.ids import Ids
from undercroft.jobs.desk import Desk
from undercroft.record import Who
from undercroft.storage.engine import Database
from undercroft.vectors.ingestion.embedding import Model
from undercroft.vectors.knowledge.desk import KnowledgeDesk, collection_of, usual_plan
from undercroft.vectors.knowledge.finding import Finder
from undercroft.vectors.knowledge.types import DAY_US, Question, StoreExpired
from undercroft.vectors.types import Point

US, THEM = Who(), Who(organisation="other")


class OneModel:
    """Models as there is one."""

    def usual(self) -> str:
        return "counted"

    async def model(self, name: str, who: Who, /) -> Model:
        return CountedModel().model


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = sqlite(tmp_path_factory.mktemp("database"))
    yield opened
    opened.close()


class World:
    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        # No test here takes a file in: that is a job's, and tested with real ones.
        jobs = cast("Desk", None)
        self.desk = KnowledgeDesk(
            database, self.store, jobs=jobs, models=OneModel(), ids=Ids(self.clock), clock=self.clock
        )
        self.finder = Finder(database, self.store, clock=self.clock)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def test_collections_of_different_models_differ() -> None:
    names = {collection_of(name) for name in ("a/b", "a-b", "A-b", "x" * 200, "local-embedding", "größe")}
    assert len(names) == 6
    assert all(len(name) <= 64 and name.isascii() for name in names)


def test_auto_is_as_long_as_suits_the_model() -> None:
    plan = usual_plan(CountedModel().model)
    assert (plan.strategy, plan.size, plan.overlap) == ("structure", 50, 6)


def test_what_was_not_used_expires_and_is_emptied(world: World) -> None:
    async def test() -> None:
        made = await world.desk.create(US, name="n", metadata={}, days=2)
        spec = await world.store.describe(made.collection)
        assert spec.dimension == DIMENSION
        point = Point(id="p", vector=bag_of_words("tide"), text="the tide")
        await world.store.upsert(made.collection, [point], namespace=made.id)
        world.clock.advance(DAY_US / 1_000_000)
        question = Question(texts=["tide"])
        (found,) = await world.finder.search(await world.desk.living(US, made.id), question, CountedModel().model)
        assert found.text == "the tide"
        world.clock.advance(1.5 * DAY_US / 1_000_000)
        assert (await world.desk.living(US, made.id)).id == made.id, "its use has put it off"
        world.clock.advance(DAY_US / 1_000_000)
        with pytest.raises(StoreExpired):
            await world.desk.living(US, made.id)
        assert (await world.desk.find(US, made.id)).id == made.id, "it is still there to be looked at"

    asyncio.run(test())


def test_a_deleted_vector_store_takes_its_points_along(world: World) -> None:
    async def test() -> None:
        made, other = [await world.desk.create(US, metadata={}) for _ in range(2)]
        for store in (made, other):
            point = Point(id="p", vector=bag_of_words("tide"), text="the tide")
            await world.store.upsert(store.collection, [point], namespace=store.id)
        with pytest.raises(NotFound):
            await world.desk.delete(THEM, made.id)
        await world.desk.delete(US, made.id)
        assert await world.store.count(made.collection, namespace=made.id) == 0
        assert await world.store.count(other.collection, namespace=other.id) == 1
        with pytest.raises(NotFound):
            await world.desk.find(US, made.id)

    asyncio.run(test())
