"""Whether searches find what people look for: questions written by hand over our own guides, by each kind of search.

A question's answer is a section of a guide: recall, nDCG and MRR (`undercroft.ranking`) of the ten best chunks, cut and
embedded as files are that are taken in.

usage: python -m benchmarks.retrieval
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from undercroft.assembly.embedding import bundled_model
from undercroft.clock import SystemClock
from undercroft.settings.sources import load
from undercroft.vectors.ingestion.chunking import chunks_of
from undercroft.vectors.ingestion.embedding import Model
from undercroft.vectors.ingestion.readers.markdown import read
from undercroft.vectors.ingestion.types import Plan
from undercroft.vectors.judging import Question, judge, modes_of
from undercroft.vectors.stores.embedded.store import EmbeddedStore
from undercroft.vectors.types import CollectionSpec, Point

GUIDES: Final = Path("docs/guides")
QUESTIONS: Final = Path(__file__).with_name("guide_questions.jsonl")
LIMIT: Final = 10
SECTION: Final = "section"


async def points_of(guides: Sequence[Path], model: Model) -> list[Point]:
    """A point for each chunk, with the section that it stands in."""
    plan = Plan(size=model.best, overlap=model.best // 4)
    chunks = [(guide, chunk) for guide in guides for chunk in chunks_of(read(guide.read_bytes()), plan, model.tokens)]
    vectors = await model.embed([chunk.embedded for _, chunk in chunks])
    return [
        Point(
            id=f"{guide.name}#{place}",
            vector=vector,
            text=chunk.embedded,
            metadata={SECTION: f"{guide.name}: {chunk.title.rpartition(' > ')[2]}"},
        )
        for place, ((guide, chunk), vector) in enumerate(zip(chunks, vectors, strict=True))
    ]


async def questions_about(points: Sequence[Point], model: Model) -> list[Question]:
    """The questions, each with the chunks of its section. Raises SystemExit where a guide has lost it."""
    asked = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    vectors = await model.embed([one["text"] for one in asked])
    questions = []
    for one, vector in zip(asked, vectors, strict=True):
        section = f"{one['guide']}: {one['section']}"
        gains = {point.id: 1.0 for point in points if point.metadata[SECTION] == section}
        if not gains:
            raise SystemExit(f"{QUESTIONS.name}: there is no section {section!r} any more ({one['text']})")
        questions.append(Question(text=one["text"], vector=vector, gains=gains))
    return questions


async def measure() -> dict[str, Any]:
    """Quality by kind of search."""
    settings = load(config=None, environment={}, directory=Path()).settings
    with TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder), clock=SystemClock())
        try:
            async with bundled_model(settings) as model:
                points = await points_of(sorted(GUIDES.glob("*.md")), model)
                questions = await questions_about(points, model)
            await store.create(CollectionSpec(name="guides", dimension=len(points[0].vector)))
            await store.upsert("guides", points)
            judged = [await judge(store, "guides", questions, mode=mode, limit=LIMIT) for mode in modes_of(store)]
        finally:
            await store.close()
    return {"chunks": len(points), "modes": [msgspec.to_builtins(one) for one in judged]}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=1))  # noqa: T201
