import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.tracing import untraced
from undercroft.assembly.vectors import Vectors, open_store
from undercroft.clock import SystemClock
from undercroft.errors import ConfigurationError, Unavailable
from undercroft.settings.model import Database, Settings, VectorStoreName
from undercroft.settings.model import Vectors as Section
from undercroft.settings.rules import problems
from undercroft.telemetry.metrics import Metrics
from undercroft.vectors.types import CollectionSpec

POSTGRES = SecretStr("postgresql://nobody@127.0.0.1:1/nowhere")


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (Section(), "embedded"),
        (Section(qdrant_url="http://127.0.0.1:6333"), "qdrant"),
        (Section(store="qdrant_edge"), "qdrant_edge"),
        (Section(store="pgvector", pgvector_url=POSTGRES), "pgvector"),
        (Section(store="embedded", qdrant_url="http://127.0.0.1:6333"), "embedded"),
    ],
)
def test_the_settings_choose_a_store_and_opening_it_speaks_to_nobody(
    section: Section, name: VectorStoreName, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, vectors=section)
    assert settings.vectors.chosen == name
    store = open_store(settings, clock=SystemClock())
    assert store.name == ("qdrant" if name == "qdrant_edge" else name)
    asyncio.run(store.close())


def test_the_store_is_opened_once_and_closed_with_its_owner(tmp_path: Path) -> None:
    async def run() -> None:
        vectors = Vectors(
            Settings(data_dir=tmp_path),
            metrics=Metrics(clock=SystemClock()),
            tracing=untraced(SystemClock()),
            clock=SystemClock(),
        )
        assert not (tmp_path / "vectors.db").exists(), "opened before anybody asked"
        first, second = await asyncio.gather(vectors.store(), vectors.store())
        assert first is second
        await first.create(CollectionSpec(name="texts", dimension=2))
        await vectors.close()
        with pytest.raises(Unavailable):
            await vectors.store()

    asyncio.run(run())


def test_a_store_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="faiss"):
        open_store(Settings(data_dir=tmp_path), clock=SystemClock(), name="faiss")


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        (Section(store="pgvector"), "store"),
        (Section(store="qdrant"), "store"),
        (Section(qdrant_url="127.0.0.1:6333"), "qdrant_url"),
        (Section(pgvector_url=SecretStr("mysql://somewhere")), "pgvector_url"),
    ],
)
def test_a_store_without_its_address_is_no_configuration(section: Section, setting: str, tmp_path: Path) -> None:
    found = list(problems(Settings(vectors=section), providers=(), directory=tmp_path))
    assert [place for place, _ in found] == [("vectors", setting)]


def test_pgvector_needs_no_address_of_its_own_beside_postgresql(tmp_path: Path) -> None:
    settings = Settings(vectors=Section(store="pgvector"), database=Database(url=POSTGRES))
    assert not [place for place, _ in problems(settings, providers=(), directory=tmp_path) if place[0] == "vectors"]
