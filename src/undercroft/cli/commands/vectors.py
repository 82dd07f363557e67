"""`undercroft vectors`: collections are made, filled and searched; measuring and moving have files of their own."""

import asyncio
import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from undercroft.access.actions import Action
from undercroft.access.audit import Act
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.assembly.vector_tools import Embedder
from undercroft.assembly.vectors import STORES, open_store
from undercroft.cli.commands import vectors_choosing, vectors_ingesting, vectors_measuring, vectors_moving
from undercroft.cli.installation import note, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest
from undercroft.settings.model import Settings
from undercroft.settings.sources import load
from undercroft.vectors.data_sets import read_points
from undercroft.vectors.filters import Filter, parse
from undercroft.vectors.ingestion import visible
from undercroft.vectors.ingestion.types import GENERATION, Place
from undercroft.vectors.search import Request, search
from undercroft.vectors.store import VectorStore
from undercroft.vectors.tune import Tuned, read_tuned
from undercroft.vectors.types import CollectionSpec, Hit, IndexOptions, vector_of

T = TypeVar("T")

HELP = """Vector collections: make, fill, search, measure, compare and move them.

Example: undercroft vectors create notes --dim 384
         undercroft vectors import notes notes.jsonl
         undercroft vectors ingest docs/ --collection notes
         undercroft vectors search notes --text "when is the archive open?"
         undercroft vectors compare --vectors 5M --dim 1536 --qps 50"""

_CREATE = "Makes a collection.  Example: undercroft vectors create notes --dim 384"
_IMPORT = """Stores the points of a JSONL file: {"id", "text"?, "vector"?, "metadata"?} a line.

A line without a vector gets one of its text, by the bundled model. A line that is wrong stops everything before
anything is stored.

Example: undercroft vectors import notes notes.jsonl"""
_SEARCH = """The nearest points, by a text or a vector.

Example: undercroft vectors search notes --text "when is the archive open?" --limit 3
         undercroft vectors search notes --text hours --filter '{"type": "eq", "key": "lang", "value": "en"}'"""
BATCH: Final = 500
CHANGES: Final[Mapping[str, Action]] = {
    "create": "vectors.create",
    "import": "vectors.import",
    "ingest": "vectors.ingest",
    "forget": "vectors.forget",
    "copy": "vectors.copy",
}
"""What the audit log is told of."""
ORGANISATION: Final = vectors_ingesting.ORGANISATION


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="makes a collection", description=_CREATE)
    create.add_argument("collection", help="its name")
    create.add_argument("--dim", type=int, required=True, metavar="N", help="numbers of a vector")
    create.add_argument("--metric", choices=["cosine", "dot", "euclidean"], default="cosine", help="default: cosine")
    create.add_argument("--tuned", type=Path, metavar="FILE", help="an index that `vectors tune` has written")
    load = actions.add_parser("import", help="stores the points of a JSONL file", description=_IMPORT)
    load.add_argument("collection", help="its name")
    load.add_argument("file", type=Path, help="a point on each line, as JSON")
    search = actions.add_parser("search", help="finds the nearest points", description=_SEARCH)
    search.add_argument("collection", help="its name")
    asked = search.add_mutually_exclusive_group(required=True)
    asked.add_argument("--text", help="embedded by the bundled model")
    asked.add_argument("--vector", help="a JSON list of numbers")
    search.add_argument("--limit", type=int, default=10, metavar="N", help="default: 10")
    search.add_argument("--filter", help="JSON in the form of OpenAI's attribute filters")
    for action in (create, load, search):
        action.add_argument("--store", metavar="NAME", help=f"{', '.join(STORES)}; default: as the settings say")
    for action in (load, search):
        action.add_argument("--namespace", default="", help="default: the collection's default one")
    others = [
        *vectors_ingesting.add(actions),
        *vectors_choosing.add(actions),
        *vectors_measuring.add(actions),
        *vectors_moving.add(actions),
    ]
    for action in (create, load, search, *others):
        add_config(action)
        add_json(action)


def run(options: Namespace, out: Output) -> int:
    code = _act(options, out)
    if (action := CHANGES.get(options.action)) is not None:
        settings = load(config=options.config, environment=os.environ, directory=Path.cwd()).settings
        with ready_database(settings, otherwise="What was changed cannot be written down") as database:
            note(database, Act(action=action, subject=options.collection))
    return code


def _act(options: Namespace, out: Output) -> int:
    match options.action:
        case "create":
            return _create(options, out)
        case "import":
            return _import(options, out)
        case "search":
            return _search(options, out)
        case "ingest":
            return vectors_ingesting.ingest(options, out)
        case "forget":
            return vectors_ingesting.forget(options, out)
        case "compare":
            return vectors_choosing.compare(options, out)
        case "bench":
            return vectors_measuring.bench(options, out)
        case "tune":
            return vectors_measuring.tune(options, out)
        case _:
            return vectors_moving.copy(options, out)


def _create(options: Namespace, out: Output) -> int:
    tuned = read_tuned(options.tuned) if options.tuned else Tuned(index=IndexOptions(), effort=0)
    spec = CollectionSpec(
        name=options.collection,
        dimension=options.dim,
        metric=options.metric,
        index=tuned.index,
        effort=tuned.effort or None,
    )

    async def make(store: VectorStore) -> str:
        await store.create(spec)
        return store.name

    name = _with_store(options, out, make)
    out.show(spec, text=f"{spec.name}: {spec.dimension} dimensions, {spec.metric}, in {name}")
    return 0


def _import(options: Namespace, out: Output) -> int:
    points = read_points(options.file)
    settings = read_settings(options, out, stored=encrypted_store)

    async def store_all(store: VectorStore) -> int:
        spec = await store.describe(options.collection)
        whole = await Embedder(settings).completed(points)
        with out.progress("storing", len(whole)) as advance:
            for start in range(0, len(whole), BATCH):
                some = whole[start : start + BATCH]
                await store.upsert(spec.name, some, namespace=options.namespace)
                advance(len(some))
        return len(whole)

    number = _with_store(options, out, store_all)
    out.show({"stored": number}, text=f"{number} points stored in {options.collection}")
    return 0


def _search(options: Namespace, out: Output) -> int:
    where = _filter(options.filter) if options.filter else None
    settings = read_settings(options, out, stored=encrypted_store)

    async def find(store: VectorStore) -> list[dict[str, object]]:
        if options.text is not None:
            (vector,) = await Embedder(settings).embed([options.text])
        else:
            vector = vector_of(_numbers(options.vector))
        hits = await _hits(store, settings, options, Request(vector=vector, limit=options.limit, where=where))
        return [
            {"id": hit.id, "score": round(hit.score, 4), "text": hit.text or "", "metadata": dict(hit.metadata)}
            for hit in hits
        ]

    rows = _with_store(options, out, find)
    if options.json:
        out.table(rows)
    else:
        shown = [row | {"metadata": json.dumps(row["metadata"], ensure_ascii=False)} for row in rows]
        out.table(shown, empty="Nothing was found.")
    return 0


async def _hits(store: VectorStore, settings: Settings, options: Namespace, request: Request) -> list[Hit]:
    """Of files that were taken in, only what is seen: for that the database is asked, and for nothing else."""
    asked = msgspec.structs.replace(request, namespace=options.namespace)
    found = await search(store, options.collection, asked)
    if any(GENERATION in each.hit.metadata for each in found):
        place = Place(organisation=ORGANISATION, collection=options.collection, namespace=options.namespace)
        with ready_database(settings, otherwise="What was taken in cannot be told from what is left over") as database:
            found = await visible.search(store, database, place, request)
    return [each.hit for each in found]


def _filter(text: str) -> Filter:
    try:
        return parse(json.loads(text), param="--filter")
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"--filter is no JSON: {error.msg}.") from error


def _numbers(text: str) -> list[float]:
    try:
        return msgspec.json.decode(text.encode(), type=list[float])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"--vector is no JSON list of numbers: {error}.") from error


def _with_store(options: Namespace, out: Output, work: Callable[[VectorStore], Awaitable[T]]) -> T:
    settings = read_settings(options, out, stored=encrypted_store)

    async def opened() -> T:
        store = open_store(settings, clock=SystemClock(), name=options.store, keeps_up=False)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())
